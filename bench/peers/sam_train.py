"""One LoRA fine-tuning step of SAM in PyTorch: encoder frozen; LoRA, prompt encoder and mask decoder train.

Case and settings: sam_case.py. AdamW lr 1e-3, weight decay 0.1; loss 0.5 (CE + Dice) on the full-size logits.
Check file and result: the loss of step 0, `logits` (sampled).
"""

from collections.abc import Callable

import numpy as np
import torch

import peer
import sam_case
import losses


def training(request: peer.Request) -> Callable[[], tuple[torch.Tensor, list[float]]]:
    """A function that runs a step and returns the logits and the loss."""
    case = sam_case.read(request)
    trained = {n: v for n, v in case.weights.items() if not n.startswith("image_encoder.") and "gaussian" not in n}
    trained |= case.lora
    for value in trained.values():
        value.requires_grad_()
    image, label = case.image_and_label()
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.1)
    forward = peer.prepared(request, case.forward)

    def step() -> tuple[torch.Tensor, list[float]]:
        logits = forward(image)
        loss = losses.segmentation_loss(logits, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return logits, [loss.item()]

    return step


def main() -> None:
    request = peer.parse(__doc__, sam_case.SETTINGS, devices=peer.DEVICES)
    step = training(request)
    logits, result = step()
    peer.write_check(request, {"losses": np.array(result), "logits": peer.sampled(logits)})
    del logits
    peer.measure(request, step, result)


if __name__ == "__main__":
    main()
