"""Forward of SAM with LoRA, canvas to full-size logits, in PyTorch.

Case and settings: sam_case.py. Check file: `logits` (sampled); result: their first four entries.
"""

import torch

import peer
import sam_case


def main() -> None:
    request = peer.parse(__doc__, sam_case.SETTINGS)
    case = sam_case.read(request)
    image, _ = case.image_and_label()
    forward = peer.compiled(request, case.forward)
    with torch.no_grad():
        logits = peer.sampled(forward(image))
        peer.write_check(request, {"logits": logits})
        peer.measure(request, lambda: forward(image), logits[:4].tolist())


if __name__ == "__main__":
    main()
