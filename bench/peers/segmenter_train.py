"""One training step of a segmenter in PyTorch.

Case: segmenter_case.py, and "method": "supervised" (0.5 (CE + Dice) over the batch) or "mean-teacher" (first half labelled,
second half pseudo-labelled with the same checker shifted by 2, teacher forward with noise, EMA).
SGD lr 0.01, momentum 0.9, weight decay 1e-4. Check file and result: the losses of step 0, `logits` (sampled).
"""

from collections.abc import Callable

import numpy as np
import torch

import peer
import segmenter_case
import inputs
import losses


Step = Callable[[int], tuple[torch.Tensor, list[float]]]


def training(request: peer.Request) -> Step:
    """A function that runs step 0, 1, .. and returns the student's logits and the loss."""
    case = segmenter_case.read(request)
    mean_teacher = request.case.get("method", "supervised") == "mean-teacher"
    student = {n: v.requires_grad_() for n, v in case.weights(1).items()}
    statistics = case.statistics()
    teacher = case.weights(2) if mean_teacher else {}
    teacher_statistics = case.statistics()
    image, label = case.image_and_label()
    half = case.batch // 2
    pseudo_label = inputs.checker_label((case.batch - half, *case.patch), case.classes, 8, shift=2).to(case.device)
    optimiser = torch.optim.SGD(student.values(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def forward(weights, state, x, masks):
        return case.net.forward(weights, state, x, True, segmenter_case.apply_masks(masks), case.unused_heads)

    forward = peer.prepared(request, forward)

    def step(index: int) -> tuple[torch.Tensor, list[float]]:
        logits = forward(student, statistics, image, case.masks("student", index))
        if mean_teacher:
            with torch.no_grad():
                target = forward(teacher, teacher_statistics, image + case.noise(image, index), case.masks("teacher", index))
            loss = losses.segmentation_loss(logits[:half], label[:half])
            loss = loss + losses.segmentation_loss(logits[half:], pseudo_label)
            loss = loss + losses.consistency_weight(index) * losses.consistency(logits, target)
        else:
            loss = losses.segmentation_loss(logits, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if mean_teacher:
            losses.update_teacher(teacher, student, index)
        return logits, [loss.item()]

    return step


def main() -> None:
    request = peer.parse(__doc__, segmenter_case.SETTINGS, devices=peer.DEVICES)
    step = training(request)
    logits, result = step(0)
    peer.write_check(request, {"losses": np.array(result), "logits": peer.sampled(logits)})
    del logits
    peer.measure_steps(request, step, result)


if __name__ == "__main__":
    main()
