"""Re-training methods: the losses of a step as the method's own code forms them, and five steps of each."""

import math
import re

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F

import goldens
import losses
import magicnet
import method_parts
import philox
import unet3d
import vnet
from method_networks import (
    CLASSES,
    FILTERS,
    STEPS,
    Batch,
    Losses,
    Networks,
    Setting,
    Tensors,
    entropy,
    ramp,
    shapes_of,
    supervised,
    weight,
)


# Losses: (networks, batch, step, with pseudo-labels) -> (total, then the terms without their weights)


def entropy_minimisation(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    logits = nets("student", batch.image)
    terms = supervised(logits, batch, pseudo)
    uncertainty = entropy(torch.softmax(logits, 1)).mean() / math.log(nets.classes)
    return [sum(terms) + weight(t) * uncertainty, *terms, uncertainty]


def mean_teacher_unlabelled(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    logits = nets("student", batch.image)
    terms = supervised(logits, batch, pseudo)
    with torch.no_grad():
        target = torch.softmax(nets("teacher", nets.noisy(batch.unlabelled, "teacher/noise")), 1)
    consistency = ((torch.softmax(logits[2:], 1) - target) ** 2).mean()
    return [sum(terms) + weight(t) * consistency, *terms, consistency]


def stochastic_mean(nets: Networks, name: str, x: torch.Tensor) -> torch.Tensor:
    """Mean softmax of 4 passes over the crops repeated twice."""
    predictions = []
    for i in range(1, 5):
        noisy = nets.noisy(torch.cat([x, x]), f"pass-{i}/noise")
        predictions += list(torch.softmax(nets(name, noisy, f"pass-{i}"), 1).chunk(2))
    return torch.stack(predictions).mean(0)


def uncertainty_aware(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    logits = nets("student", batch.image)
    terms = supervised(logits, batch, pseudo)
    with torch.no_grad():
        target = torch.softmax(nets("teacher", nets.noisy(batch.unlabelled, "teacher/noise")), 1)
        uncertainty = entropy(stochastic_mean(nets, "teacher", batch.unlabelled))
        certain = (uncertainty < (0.75 + 0.25 * ramp(t)) * math.log(nets.classes)).to(nets.dtype)
    squares = (torch.softmax(logits[2:], 1) - target) ** 2
    consistency = (squares * certain[:, None]).sum() / (nets.classes * certain.sum() + 1e-16)
    return [sum(terms) + weight(t) * consistency, *terms, consistency, certain.mean()]


def ambiguity_consensus(model_uncertainty: bool) -> "Losses":
    rise = 0.15 if model_uncertainty else 0.2

    def make(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
        logits = nets("student", batch.image)
        terms = supervised(logits, batch, pseudo)
        p = torch.softmax(logits[2:], 1)
        with torch.no_grad():
            target = torch.softmax(nets("teacher", nets.noisy(batch.unlabelled, "teacher/noise")), 1)
            looked_at = stochastic_mean(nets, "student", batch.unlabelled) if model_uncertainty else p
            ambiguous = (entropy(looked_at) >= (0.75 + rise * ramp(t)) * math.log(nets.classes)).to(nets.dtype)
        squares = ((p - target) ** 2 * ambiguous[:, None]).sum()
        selected = ambiguous.sum() * (1 if model_uncertainty else nets.classes)
        consistency = squares / (selected + 1e-16)
        return [sum(terms) + weight(t) * consistency, *terms, consistency, ambiguous.mean()]

    return make


def pyramid_consistency(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    coarser: list[torch.Tensor] = []
    scales = [nets("student", batch.image, scales=coarser)]
    scales += coarser
    labelled = sum(losses.segmentation_loss(z[:2], batch.label[:2]) for z in scales) / 4
    p = [torch.softmax(z[2:], 1) for z in scales]
    mean = sum(p) / 4
    consistency = torch.zeros((), dtype=nets.dtype)
    for q in p:
        variance = (mean * (torch.log(mean + 1e-6) - torch.log(q + 1e-6))).sum(1)
        certainty = torch.exp(-variance)
        squares = ((mean - q) ** 2 * certainty[:, None]).mean()
        consistency = consistency + (squares / (certainty.mean() + 1e-8) + variance.mean()) / 4
    terms = [labelled, consistency]
    total = labelled + weight(t) * consistency
    if pseudo:
        terms.append(losses.segmentation_loss(scales[0][2:], batch.pseudo_label))
        total = total + terms[-1]
    return [total, *terms]


def cross_pseudo_supervision(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    logits = [nets(name, batch.image) for name in ("student", "second")]
    terms = [supervised(z, batch, pseudo) for z in logits]
    hard = [torch.softmax(z[2:].detach(), 1).argmax(1) for z in logits]
    cross = F.cross_entropy(logits[0][2:], hard[1]) + F.cross_entropy(logits[1][2:], hard[0])
    return [sum(terms[0]) + sum(terms[1]) + weight(t) * cross, *terms[0], sum(terms[1]), cross]


def beta(stream: str, step: int, a: float, b: float) -> float:
    """Joehnk: pairs u^(1/a), v^(1/b) of the stream's uniforms until their sum is at most 1."""
    uniforms = philox.uniform(stream, (64,), step=step).astype(float)
    for u, v in uniforms.reshape(-1, 2):
        x, y = u ** (1 / a), v ** (1 / b)
        if 0 < x + y <= 1:
            return x / (x + y)
    raise ValueError("no pair fits")


def interpolation_consistency(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    ratio = beta("mixingRatio", t, 0.2, 0.2)
    first, second = batch.unlabelled.to(nets.dtype).chunk(2)
    plain = batch.image if pseudo else batch.labelled
    mixed = (1 - ratio) * first + ratio * second
    logits = nets("student", torch.cat([plain.to(nets.dtype), mixed]))
    terms = supervised(logits, batch, pseudo)
    with torch.no_grad():
        q = [torch.softmax(nets("teacher", x, f"{n}-half"), 1) for n, x in (("first", first), ("second", second))]
    target = (1 - ratio) * q[0] + ratio * q[1]
    consistency = ((torch.softmax(logits[-1:], 1) - target) ** 2).mean()
    return [sum(terms) + weight(t) * consistency, *terms, consistency]


def box_mask(step: int, size: tuple[int, int, int]) -> torch.Tensor:
    """Ones [H, W, D] with a zero box of 2/3 of each extent; uniforms 0, 1, 2 of stream `copy-paste` for D, W, H."""
    mask = torch.ones(size)
    draws = philox.uniform("copy-paste", (3,), step=step).astype(float)[::-1]
    box = [2 * extent // 3 for extent in size]
    begin = [math.floor(u * (extent - side)) for u, extent, side in zip(draws, size, box)]
    mask[tuple(slice(b, b + side) for b, side in zip(begin, box))] = 0
    return mask


def largest_components(label: torch.Tensor, classes: int) -> torch.Tensor:
    """The largest 26-connected component of each sample and class."""
    result = torch.zeros_like(label)
    for n in range(label.shape[0]):
        for k in range(1, classes):
            parts, count = scipy.ndimage.label((label[n] == k).numpy(), np.ones((3, 3, 3)))
            if count > 0:
                result[n][torch.from_numpy(parts == np.bincount(parts.flat)[1:].argmax() + 1)] = k
    return result


def region_loss(logits: torch.Tensor, label: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """0.5 (CE + Dice) of the voxels in the mask; Dice per sample and class, linear denominators, smoothing 1e-5."""
    mask = mask.to(logits.dtype).expand(label.shape)
    entropies = F.cross_entropy(logits, label.long(), reduction="none")
    p, y = torch.softmax(logits, 1), losses.one_hot(label, logits.shape[1], logits.dtype)
    m, axes = mask[:, None], (2, 3, 4)
    overlap, sizes = (m * p * y).sum(axes), (m * (p + y)).sum(axes)
    dice = 1 - ((2 * overlap + 1e-5) / (sizes + 1e-5)).mean()
    return 0.5 * ((entropies * mask).sum() / (mask.sum() + 1e-16) + dice)


def bidirectional_copy_paste(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    """One step on labelled crops pasted into each other, then teacher and student start from the result."""
    mask = box_mask(t, nets.setting.size)
    label = batch.label[:2]
    (a, b), (u, v) = batch.labelled.chunk(2), batch.unlabelled.chunk(2)
    if t == 0:
        mixed_label = torch.where(mask > 0, label[:1], label[1:])
        loss = region_loss(nets("student", mask * a + (1 - mask) * b), mixed_label, torch.ones_like(mask))
        return [loss, loss, *[torch.zeros(())] * (2 if pseudo else 1)]
    if t == 1:
        for name, value in nets.parameters["student"].items():
            nets.parameters["teacher"][name].copy_(value.detach())
    with torch.no_grad():
        hard = [largest_components(nets("teacher", x, f"{n}-half").argmax(1), nets.classes) for n, x in (("first", u), ("second", v))]
    inward = nets("student", mask * a + (1 - mask) * u, "inward")
    outward = nets("student", mask * v + (1 - mask) * b, "outward")
    supervision = region_loss(inward, label[:1], mask) + region_loss(outward, label[1:], 1 - mask)
    taught = region_loss(inward, hard[0], 1 - mask) + region_loss(outward, hard[1], mask)
    terms = [supervision / 2, taught]
    total = supervision + 0.5 * taught
    if pseudo:
        terms.append(losses.segmentation_loss(nets("student", batch.unlabelled, "unmixed"), batch.pseudo_label))
        total = total + terms[-1]
    return [total, *terms]


# Per golden: losses, networks (seeds 1, 2, ..), the trained ones, with pseudo-labels.
LOSSES: dict[str, tuple[Losses, tuple[str, ...], tuple[str, ...], bool]] = {
    "entropy-minimisation": (entropy_minimisation, ("student",), ("student",), True),
    "mean-teacher-unlabelled": (mean_teacher_unlabelled, ("student", "teacher"), ("student",), True),
    "ua-mt": (uncertainty_aware, ("student", "teacher"), ("student",), True),
    "cps": (cross_pseudo_supervision, ("student", "second"), ("student", "second"), True),
    "ict": (interpolation_consistency, ("student", "teacher"), ("student",), False),
    "acmt-ent": (ambiguity_consensus(False), ("student", "teacher"), ("student",), True),
    "acmt-mu": (ambiguity_consensus(True), ("student", "teacher"), ("student",), True),
    "acmt-serr": (method_parts.label_noise, ("student", "teacher"), ("student",), True),
    "acmt-perr": (method_parts.prototypes, ("student", "teacher"), ("student",), True),
    "dtc": (method_parts.dual_task, ("student", "distance"), ("student", "distance"), True),
    "cct": (method_parts.cross_consistency, method_parts.CROSS_NETWORKS, method_parts.CROSS_NETWORKS, True),
    "ss-net": (method_parts.smoothness_and_separation, ("student", "contrast"), ("student", "contrast"), True),
    "magicnet": (method_parts.magic_cubes, ("student", "teacher", "location"), ("student", "location"), True),
    "urpc": (pyramid_consistency, ("student",), ("student",), True),
    "bcp": (bidirectional_copy_paste, ("student", "teacher"), ("student",), True),
    "ict-pseudo": (interpolation_consistency, ("student", "teacher"), ("student",), True),
}


# Of the public code of these the 3D U-Net is the network.
MEANT_FOR_UNET3D = ("entropy-minimisation", "mean-teacher-unlabelled", "ua-mt", "cps", "ict", "urpc")
# Per golden: the losses' name and what they train.
CASES: dict[str, tuple[str, Setting]] = {
    **{name: (name, Setting()) for name in LOSSES},
    **{f"{name}-unet3d": (name, Setting(unet3d, learning_rate=0.002)) for name in MEANT_FOR_UNET3D},
    "magicnet-own": ("magicnet", Setting(magicnet, (64, 64, 32), learning_rate=0.001)),
}
# Heads of coarser scales, which URPC alone uses.
COARSE_HEADS = ("out_conv_dp", "dsv2", "dsv3", "dsv4")

DROPPED = re.compile(r"block_five_up\.conv\.[01]\.weight$")


@torch.no_grad()
def move(teacher: Tensors, student: Tensors, decay: float) -> None:
    """EMA without warm-up."""
    for name, value in teacher.items():
        value.mul_(decay).add_(student[name], alpha=1 - decay)


def five_steps(name: str) -> goldens.Case:
    """Five steps of a re-training method: `losses` [5, terms], the total first; `losses_norms` [5, tensors]: L2 norms of
    the gradients; `direction_<t>`: the gradients of step t, each divided by its norm, one behind the other; with a
    teacher `teacher`: its weights in the end minus the student's at the start; `statistics`: the student's running
    means and variances in the end. Tensors in alphabetical order, those of
    the student first; those without gradient, or with a true gradient of zero, are left out.
    """
    method, setting = CASES[name]
    make, names, trained, pseudo = LOSSES[method]

    def case(dtype: torch.dtype) -> Tensors:
        nets, batch = Networks(names, trained, dtype, setting), Batch(setting)
        start = {n: v.detach().clone() for n, v in nets.parameters["student"].items()}
        zero = set(setting.net.zero_gradient_names(FILTERS))
        unused = () if method == "urpc" else COARSE_HEADS
        zero |= {f"{part}.0.bias" for part in ("fc_layer", "projection", "prediction", "selector_1", "selector_2")}
        of = {net: [n for n in sorted(shapes_of(net, setting)) if n not in zero and not n.startswith(unused)] for net in names}
        if method == "cct":  # the calm bottleneck's values are much the same: attention dropout drops all
            of["attention-decoder"] = [n for n in of["attention-decoder"] if not DROPPED.match(n)]
        result, rows, norms = {}, [], []
        for step in range(STEPS):
            nets.step = step
            with goldens.away_from_zero(setting.net is not vnet):
                terms = make(nets, batch, step, pseudo)
            terms[0].backward()
            # Of a class without voxels SS-Net's contrast knows nothing: there are no gradients.
            values = [nets.parameters[net][n] for net in trained for n in of[net]]
            gradients = [torch.zeros_like(v) if v.grad is None else v.grad.clone() for v in values]
            rows.append([x.item() for x in terms])
            norms.append([g.norm().item() for g in gradients])
            result[f"direction_{step}"] = torch.cat([(g / g.norm().clamp(min=1e-30)).reshape(-1) for g in gradients])
            with torch.no_grad():
                for net in trained:
                    for value in nets.parameters[net].values():
                        if value.grad is not None:
                            value -= setting.learning_rate * value.grad
                            value.grad = None
            if method == "bcp":
                if step > 0:
                    move(nets.parameters["teacher"], nets.parameters["student"], 0.99)
            elif "teacher" in names:
                losses.update_teacher(nets.parameters["teacher"], nets.parameters["student"], step)
        if "teacher" in names:
            final = nets.parameters["teacher"]
            result["teacher"] = torch.cat([(final[n] - start[n]).reshape(-1) for n in of["student"]])
        statistics = nets.statistics["student"]
        if statistics:
            result["statistics"] = torch.cat([statistics[n] for n in sorted(statistics)])
        for key, table in (("losses", rows), ("losses_norms", norms)):
            result[key] = torch.tensor(table, dtype=torch.float64)
        return result

    return case
