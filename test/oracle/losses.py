"""Losses and the Mean Teacher rules of SFR."""

import math

import torch
import torch.nn.functional as F

# Of no class: an ignored element is in no term, a gap of a canvas in Dice's sum(p^2) alone.
GAP, IGNORE = 254, 255
SMOOTH = 1e-10


def one_hot(label: torch.Tensor, classes: int, dtype: torch.dtype) -> torch.Tensor:
    """[N, ...] -> [N, K, ...]; zeros for GAP and IGNORE."""
    ids = torch.arange(classes, device=label.device).reshape(1, classes, *[1] * (label.dim() - 1))
    return (label.unsqueeze(1) == ids).to(dtype)


def cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Mean over the elements with a class."""
    return F.cross_entropy(logits, torch.where(label == GAP, IGNORE, label.long()), ignore_index=IGNORE)


def dice_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Squared denominators, sums over the whole batch jointly, mean over classes."""
    p = torch.softmax(logits, dim=1)
    known = label != IGNORE
    if not known.all():
        p = p * known.unsqueeze(1)
    y = one_hot(label, logits.shape[1], p.dtype)
    axes = [0, *range(2, logits.dim())]
    overlap, p2, y2 = (p * y).sum(axes), (p * p).sum(axes), (y * y).sum(axes)
    return (1 - (2 * overlap + SMOOTH) / (p2 + y2 + SMOOTH)).mean()


def segmentation_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """0.5 * (cross-entropy + Dice)."""
    return 0.5 * (cross_entropy(logits, label) + dice_loss(logits, label))


def consistency(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the softmax probabilities over samples, classes and voxels."""
    difference = torch.softmax(student, dim=1) - torch.softmax(teacher, dim=1)
    return (difference * difference).mean()


def consistency_weight(step: int, maximum: float = 0.1, ramp: float = 40.0, stair: int = 150) -> float:
    """maximum * exp(-5 (1 - clip(step // stair, 0, ramp) / ramp)^2)."""
    phase = min(max(step // stair, 0), ramp) / ramp
    return maximum * math.exp(-5.0 * (1.0 - phase) ** 2)


def ema_decay(step: int, decay: float = 0.99) -> float:
    """min(1 - 1 / (step + 1), decay): 0 at step 0, so the teacher becomes a copy of the student."""
    return min(1.0 - 1.0 / (step + 1), decay)


@torch.no_grad()
def update_teacher(teacher: dict[str, torch.Tensor], student: dict[str, torch.Tensor], step: int) -> None:
    """EMA over the learnable tensors; batch-norm statistics are not averaged."""
    decay = ema_decay(step)
    for name, value in teacher.items():
        value.mul_(decay).add_(student[name].detach(), alpha=1.0 - decay)
