"""Re-training methods that look into a network or add heads to it: the losses of a step, as in methods.py."""

import math

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F

import losses
import philox
from method_networks import Batch, Networks, Setting, entropy, supervised, weight

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
    target = [[signed_distance(label.numpy(), k) for k in range(1, nets.classes)] for label in batch.label[:2]]
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
        clean = torch.softmax(nets("teacher", batch.unlabelled, "clean"), 1).movedim(1, -1).reshape(-1, nets.classes)
    flags = find_label_noise(p.argmax(1).reshape(-1).numpy(), clean.numpy())
    mask = torch.from_numpy(flags).to(nets.dtype).reshape(2, 1, *nets.setting.size)
    consistency = (squares * mask).sum() / (nets.classes * mask.sum() + 1e-16)
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
        features = F.interpolate(torch.stack(maps).mean(0), size=nets.setting.size, mode="trilinear", align_corners=False)
        q = torch.softmax(nets("teacher", batch.unlabelled, "clean"), 1)
        chosen = q * losses.one_hot((q * certain).argmax(1), nets.classes, nets.dtype)
        distances = []
        for k in range(nets.classes):
            w = chosen[:, k : k + 1]
            prototype = (features * w).sum((2, 3, 4), keepdim=True) / (w.sum((2, 3, 4), keepdim=True) + 1e-5)
            distances.append(((features - prototype) ** 2).sum(1))
        nearest = torch.stack(distances, 1).argmin(1)
        noisy = losses.one_hot(nearest, nets.classes, nets.dtype) != losses.one_hot(p.argmax(1), nets.classes, nets.dtype)
        clean = (nearest == p.argmax(1)).to(nets.dtype)
    consistency = (squares * noisy).sum() / (noisy.sum() + 1e-16)
    sharpness = (clean * entropy(p)).mean() / math.log(nets.classes)
    return [sum(terms) + weight(t) * (consistency + sharpness), *terms, consistency, sharpness, 1 - clean.mean()]


# SS-Net


def perceptron(nets: Networks, name: str, x: torch.Tensor, training: bool = True) -> torch.Tensor:
    p, s = nets.parameters["contrast"], nets.statistics["contrast"]
    for kind, start in (("running_mean", 0.0), ("running_var", 1.0)):
        s.setdefault(f"{name}.1.{kind}", torch.full((32,), start, dtype=nets.dtype))
    x = F.linear(x, p[f"{name}.0.weight"], p[f"{name}.0.bias"])
    mean, variance = s[f"{name}.1.running_mean"], s[f"{name}.1.running_var"]
    x = F.batch_norm(x, mean, variance, p[f"{name}.1.weight"], p[f"{name}.1.bias"], training, 0.1, 1e-5)
    return F.linear(F.relu(x), p[f"{name}.3.weight"], p[f"{name}.3.bias"])


def selector(nets: Networks, k: int, x: torch.Tensor) -> torch.Tensor:
    p, name = nets.parameters["contrast"], f"selector_{k}"
    x = F.linear(x, p[f"{name}.0.weight"], p[f"{name}.0.bias"])
    x = F.batch_norm(x, None, None, p[f"{name}.1.weight"], p[f"{name}.1.bias"], True, 0.1, 1e-5)
    return F.linear(F.leaky_relu(x, 0.2), p[f"{name}.3.weight"], p[f"{name}.3.bias"])[:, 0]


def rows_of(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def class_contrast(nets: Networks, features: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    q = perceptron(nets, "prediction", perceptron(nets, "projection", rows_of(features)))
    label, total = label.reshape(-1), torch.zeros((), dtype=nets.dtype)
    for k, memory in nets.memory.items():
        own = q[label == k]
        if len(own) < 2 or len(memory) < 2:
            continue
        distances = 1 - F.normalize(own, dim=1) @ F.normalize(memory, dim=1).T
        weights = torch.sigmoid(selector(nets, k, own.detach()))
        total = total + (len(weights) / weights.sum() * weights[:, None] * distances).mean()
    return total / nets.classes


@torch.no_grad()
def renew_memory(nets: Networks, features: torch.Tensor, prediction: torch.Tensor, label: torch.Tensor) -> None:
    projected = perceptron(nets, "projection", rows_of(features), training=False)
    for k in range(1, nets.classes):
        own = projected[((prediction == label) & (label == k)).reshape(-1)]
        if len(own) > 32:
            own = own[torch.sigmoid(selector(nets, k, own)).sort()[1][:32]]
        if len(own) > 0:
            nets.memory[k] = own


def overlap_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 1 - (2 * (a * b).sum() + 1e-8) / (a.sum() + b.sum() + 1e-8)


def unit_samples(x: torch.Tensor) -> torch.Tensor:
    return x / (x.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1, 1) + 1e-8)


def adversarial_loss(nets: Networks, image: torch.Tensor, t: int) -> torch.Tensor:
    def predict(change: torch.Tensor, stream: str) -> torch.Tensor:
        kept = {name: value.clone() for name, value in nets.statistics["student"].items()}
        logits = nets("student", image.to(nets.dtype) + 10 * change, stream)
        nets.statistics["student"].update(kept)
        return torch.softmax(logits, 1)

    with torch.no_grad():
        clean = torch.softmax(nets("student", image, "clean"), 1)
    n, c, h, w, d = image.shape
    draws = np.float32(0.5) * (2 * philox.uniform("adversarial/noise", (n, d, w, h, c), step=t) - 1)
    random = unit_samples(memory_order(draws).to(nets.dtype)).requires_grad_()
    (steepest,) = torch.autograd.grad(overlap_loss(predict(random, "random"), clean), random)
    return overlap_loss(predict(unit_samples(steepest), "adversarial"), clean)


def smoothness_and_separation(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    x = nets.decode("student", nets.encode("student", batch.image))[0]
    logits = nets.head("student", x)
    terms = supervised(logits, batch, pseudo)
    prediction = logits.argmax(1)
    renew_memory(nets, x[:2], prediction[:2], batch.label[:2])
    contrast = class_contrast(nets, x[:2], batch.label[:2]) + class_contrast(nets, x[2:], prediction[2:])
    smoothness = adversarial_loss(nets, batch.image, t)
    return [sum(terms) + weight(t) * (smoothness + 0.1 * contrast), *terms, smoothness, contrast]


# MagicNet


def place_slices(p: int, setting: Setting) -> tuple[slice, ...]:
    """Where cube p stands in [.., H, W, D] = [.., x, y, z]; places count with x fastest."""
    (_, rows, columns), side = setting.grid, setting.side
    at = (p % columns, p // columns % rows, p // (rows * columns))
    return (slice(None), *(slice(i * side, (i + 1) * side) for i in at))


def exchange(x: torch.Tensor, t: int, undo: bool, setting: Setting) -> torch.Tensor:
    draws = philox.uniform("cubes", (setting.places, x.shape[0]), step=t)
    result = torch.empty_like(x)
    for p in range(setting.places):
        for b, sample in enumerate(np.argsort(draws[p], kind="stable")):
            to, source = (sample, b) if undo else (b, sample)
            result[to][place_slices(p, setting)] = x[source][place_slices(p, setting)]
    return result


def cube_wise(nets: Networks, x: torch.Tensor, stream: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the cubes' places, and the logits of the decoded cubes put together."""
    setting, places = nets.setting, nets.setting.places
    cubes = torch.stack([crop[place_slices(p, setting)] for crop in x for p in range(places)])
    encoded = nets.encode("student", cubes, stream)
    p, losses_ = nets.parameters["location"], []
    for own in encoded[4].permute(0, 4, 3, 2, 1).flatten(1).split(places):
        y = F.linear(own, p["fc_layer.0.weight"], p["fc_layer.0.bias"])
        y = F.batch_norm(y, None, None, p["fc_layer.1.weight"], p["fc_layer.1.bias"], True, 0.1, 1e-5)
        y = F.linear(F.leaky_relu(y, 0.2), p["fc_layer.3.weight"], p["fc_layer.3.bias"])
        losses_.append(F.cross_entropy(y, torch.arange(places)))
    maps = nets.decode("student", encoded, stream)[0]
    whole = torch.empty(x.shape[0], maps.shape[1], *setting.size, dtype=nets.dtype)
    for i, cube in enumerate(maps):
        whole[i // places][place_slices(i % places, setting)] = cube
    return sum(losses_) / len(losses_), nets.head("student", whole)


def magic_cubes(nets: Networks, batch: Batch, t: int, pseudo: bool) -> list[torch.Tensor]:
    logits = nets("student", batch.image)
    mixed = nets.decode("student", nets.encode("student", exchange(batch.image, t, False, nets.setting), "mixed"), "mixed")[0]
    recovered = nets.head("student", exchange(mixed, t, True, nets.setting))
    (location, single), (other_location, cubes) = (
        cube_wise(nets, x, f"{name}-cubes") for name, x in (("labelled", batch.labelled), ("unlabelled", batch.unlabelled))
    )
    with torch.no_grad():
        teacher = nets("teacher", nets.noisy(batch.unlabelled, "teacher/noise"))
        omega = torch.zeros(nets.classes, dtype=nets.dtype)
        if t > 10 / 700:
            omega = nets.memory["prior"] / nets.memory["prior"].max()
        share = omega[teacher.argmax(1)][:, None]
        label = ((1 - share) * teacher + share * cubes).argmax(1)
        nets.memory.setdefault("lists", []).append(torch.bincount(label.flatten(), minlength=nets.classes).to(nets.dtype))
        if t % 20 == 0:
            nets.memory["prior"] = sum(nets.memory["lists"][-20:])
    ce, dice = losses.cross_entropy(logits[:2], batch.label[:2]), losses.dice_loss(logits[:2], batch.label[:2])
    others = losses.dice_loss(recovered[:2], batch.label[:2]) + losses.dice_loss(single, batch.label[:2])
    labelled = (ce + dice + others) / 4
    location = (location + other_location) / 2
    consistency = losses.dice_loss(recovered[2:], label)
    terms = [(ce + dice) / 2, labelled, location, consistency]
    total = labelled + 0.1 * location + weight(t) * consistency
    if pseudo:
        terms.append(losses.segmentation_loss(logits[2:], batch.pseudo_label))
        total = total + terms[-1]
    return [total, *terms]
