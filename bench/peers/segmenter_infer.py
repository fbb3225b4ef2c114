"""Forward of a segmenter in eval mode (running statistics 0 and 1) in PyTorch.

Case: segmenter_case.py. Check file: `logits` (sampled); result: their first four entries.
"""

import torch

import peer
import segmenter_case


def main() -> None:
    request = peer.parse(__doc__, segmenter_case.SETTINGS, devices=peer.DEVICES)
    case = segmenter_case.read(request)
    weights, statistics = case.weights(1), case.statistics()
    image, _ = case.image_and_label()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return case.net.forward(weights, statistics, x, False, None, case.unused_heads)

    forward = peer.prepared(request, forward)
    with torch.no_grad():
        logits = peer.sampled(forward(image))
        peer.write_check(request, {"logits": logits})
        peer.measure(request, lambda: forward(image), logits[:4].tolist())


if __name__ == "__main__":
    main()
