"""Re-training methods that look into a network or add heads to it: the losses of a step, as in methods.py."""

import math

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F

import losses
import philox
from method_networks import CLASSES, SIZE, Batch, Networks, entropy, supervised, weight

# DTC


def signed_distance(label: np.ndarray, k: int) -> np.ndarray:
    """Distance to class k outside it over the largest, minus the converse; 0 at the inner boundary."""
    inside = label == k
    if not inside.any() or inside.all():
        return np.zeros(label.shape)
    out, deep = (scipy.ndimage.distance_transform_edt(x) for x in (~inside, inside))
    result = out / out.max() - deep / deep.max()
    faces = scipy.ndimage.generate_binary_structure(3, 1)
    result[inside & ~scipy.ndimage.binary_erosion(inside, faces, border_value=1)] = 0
    return result


def dual_task(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    x = nets.decode("student", nets.encode("student", batch.image))[0]
    logits, distances = nets.head("student", x), torch.tanh(nets.head("distance", x))
    terms = supervised(logits, batch, pseudo)
    target = [[signed_distance(label.numpy(), k) for k in range(1, CLASSES)] for label in batch.label[:2]]
    distance = ((distances[:2] - torch.from_numpy(np.array(target)).to(nets.dtype)) ** 2).mean()
    consistency = ((torch.sigmoid(-1500 * distances) - torch.softmax(logits, 1)[:, 1:]) ** 2).mean()
    return [sum(terms) + 0.3 * distance + weight(t) * consistency, *terms, distance, consistency]


# CCT


def memory_order(draws: np.ndarray) -> torch.Tensor:
    """[.., D, W, H, C], as the engine numbers elements -> [.., C, H, W, D]."""
    axes = list(range(draws.ndim - 4)) + [draws.ndim - 1, draws.ndim - 2, draws.ndim - 3, draws.ndim - 4]
    return torch.from_numpy(draws.transpose(axes).copy())


def feature_noise(x: torch.Tensor, stream: str, step: int) -> torch.Tensor:
    _, c, h, w, d = x.shape
    draws = np.float32(0.3) * (2 * philox.uniform(stream, (d, w, h, c), step=step) - 1)
    return x + x * memory_order(draws).to(x.dtype)


def feature_dropout(x: torch.Tensor, stream: str, step: int) -> torch.Tensor:
    n, c, h, w, d = x.shape
    kept = philox.uniform(stream, (n, d, w, h, c), step=step) >= 0.3
    return x * memory_order(kept).to(x.dtype) / 0.7


def attention_dropout(x: torch.Tensor, stream: str, step: int) -> torch.Tensor:
    gamma = 0.7 + 0.2 * float(philox.uniform(stream, (1,), step=step)[0])
    attention = x.detach().mean(1, keepdim=True)
    return x * (attention < gamma * attention.amax((2, 3, 4), keepdim=True))


PERTURBED = {
    "noise-decoder": feature_noise,
    "dropout-decoder": feature_dropout,
    "attention-decoder": attention_dropout,
}
CROSS_NETWORKS = ("student", *PERTURBED)


def cross_consistency(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    encoded = nets.encode("student", batch.image)
    heads = [nets.head("student", nets.decode("student", encoded)[0])]
    for name, perturb in PERTURBED.items():
        maps = [perturb(x, f"{name}/level-{i}", t) for i, x in enumerate(encoded, start=1)]
        heads.append(nets.head(name, nets.decode(name, maps)[0]))
    terms = [sum(losses.segmentation_loss(z[:2], batch.label[:2]) for z in heads) / 4]
    if pseudo:
        terms.append(losses.segmentation_loss(heads[0][2:], batch.pseudo_label))
    p = [torch.softmax(z[2:], 1) for z in heads]
    consistency = sum(((p[0] - q) ** 2).mean() for q in p[1:]) / 3
    return [sum(terms) + weight(t) * consistency, *terms, consistency]


# ACMT


def consensus_terms(nets: Networks, batch: Batch, pseudo: bool) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """(L_sup, ..), the student's probabilities on the unlabelled crops, the squares of their difference to the teacher's."""
    logits = nets("student", batch.image)
    p = torch.softmax(logits[2:], 1)
    with torch.no_grad():
        target = torch.softmax(nets("teacher", nets.noisy(batch.unlabelled, "teacher/noise")), 1)
    return supervised(logits, batch, pseudo), p, (p - target) ** 2


def rounded(exact: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers near `exact` with the sum `total`: the largest remainders are rounded up."""
    whole = np.floor(exact).astype(int)
    for j in np.argsort(-(exact - whole), kind="stable")[: total - whole.sum()]:
        whole[j] += 1
    return whole


def find_label_noise(label: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Confident learning: labels [n] that are likely wrong by q [n, K], filters by class and by noise rate."""
    classes = q.shape[1]
    present = [k for k in range(classes) if (label == k).any()]
    if len(present) < 2:
        return np.ones(label.shape)
    h = np.array([q[label == k, k].astype(float).mean() if k in present else np.inf for k in range(classes)])
    above = q.astype(float) >= h - 1e-6
    counted = np.where(above.any(1), np.where(above, q, -1).argmax(1), -1)
    result = np.zeros(label.shape, bool)
    for k in present:
        own = label == k
        row = np.array([(own & (counted == j)).sum() for j in range(classes)], float)
        row[k] = max(row[k], 1)
        joint = rounded(row / row.sum() * own.sum(), own.sum())
        wrong = own.sum() - joint[k]
        if wrong == 0:
            continue
        lowest = np.sort(q[own, k])
        by_class = own & (q[:, k] < lowest[wrong] if wrong < own.sum() else True)
        by_rate = np.zeros_like(own)
        for j in range(classes):
            if j != k and joint[j] > 0:
                margin = q[:, j] - q[:, k]
                by_rate |= own & (margin >= np.sort(margin[own])[-joint[j]])
        result |= by_class & by_rate
    return result & (q.argmax(1) != label)


def label_noise(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    terms, p, squares = consensus_terms(nets, batch, pseudo)
    with torch.no_grad():
        clean = torch.softmax(nets("teacher", batch.unlabelled, "clean"), 1).movedim(1, -1).reshape(-1, CLASSES)
    flags = find_label_noise(p.argmax(1).reshape(-1).numpy(), clean.numpy())
    mask = torch.from_numpy(flags).to(nets.dtype).reshape(2, 1, *SIZE)
    consistency = (squares * mask).sum() / (CLASSES * mask.sum() + 1e-16)
    return [sum(terms) + weight(t) * consistency, *terms, consistency, mask.mean()]


def prototypes(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    terms, p, squares = consensus_terms(nets, batch, pseudo)
    with torch.no_grad():
        sigmoids, maps = [], []
        for i in range(1, 11):
            decoded = nets.decode("teacher", nets.encode("teacher", batch.unlabelled, f"pass-{i}"), f"pass-{i}")
            sigmoids.append(torch.sigmoid(nets.head("teacher", decoded[0])))
            maps.append(decoded[1])
        certain = torch.stack(sigmoids).std(0) < 0.1
        features = F.interpolate(torch.stack(maps).mean(0), size=SIZE, mode="trilinear", align_corners=False)
        q = torch.softmax(nets("teacher", batch.unlabelled, "clean"), 1)
        chosen = q * losses.one_hot((q * certain).argmax(1), CLASSES, nets.dtype)
        distances = []
        for k in range(CLASSES):
            w = chosen[:, k : k + 1]
            prototype = (features * w).sum((2, 3, 4), keepdim=True) / (w.sum((2, 3, 4), keepdim=True) + 1e-5)
            distances.append(((features - prototype) ** 2).sum(1))
        nearest = torch.stack(distances, 1).argmin(1)
        noisy = losses.one_hot(nearest, CLASSES, nets.dtype) != losses.one_hot(p.argmax(1), CLASSES, nets.dtype)
        clean = (nearest == p.argmax(1)).to(nets.dtype)
    consistency = (squares * noisy).sum() / (noisy.sum() + 1e-16)
    sharpness = (clean * entropy(p)).mean() / math.log(CLASSES)
    return [sum(terms) + weight(t) * (consistency + sharpness), *terms, consistency, sharpness, 1 - clean.mean()]
