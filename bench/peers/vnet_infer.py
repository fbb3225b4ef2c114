"""Forward of the V-Net in eval mode (running statistics 0 and 1) in PyTorch.

Case: vnet_case.py. Check file: `logits` (sampled); result: their first four entries.
"""

import torch

import peer
import vnet_case
import vnet


def main() -> None:
    request = peer.parse(__doc__, vnet_case.SETTINGS)
    case = vnet_case.read(request)
    weights, statistics = case.weights(1), vnet.fresh_statistics(case.filters)
    image, _ = case.image_and_label()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return vnet.forward(weights, statistics, x, False, None, case.unused_heads)

    forward = peer.compiled(request, forward)
    with torch.no_grad():
        logits = peer.sampled(forward(image))
        peer.write_check(request, {"logits": logits})
        peer.measure(request, lambda: forward(image), logits[:4].tolist())


if __name__ == "__main__":
    main()
