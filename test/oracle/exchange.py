"""SFR+: alternating steps of a V-Net and a SAM that label crops for each other.

Calm V-Nets (student seed 1, teacher seed 2) and a calm SAM tiny, K = 3, on the batch of methods.py: 2 labelled and 2
unlabelled crops of 48 x 32 x 16, canvases of 256 x 256. The exchange goes on from re-training of STAGE_STEPS steps:
random streams, EMA and ramp-up count from there.
"""

from collections.abc import Callable

import torch

import goldens
import inputs
import losses
import methods
import sam
import vnet

Tensors = dict[str, torch.Tensor]
STEPS, TOTAL_STEPS, STAGE_STEPS, SAM_STAGE_STEPS = 5, 12, 10, 7
SEGMENTER_RATE, SAM_RATE, LARGEST_WEIGHT = 0.05, 1e-4, 10.0
# Between the confidences of the two crops at first, so that both routes and both one-sided steps occur.
TAU = 0.8733
CANVAS, TILE_COLUMNS, FRONT = 256, 5, 12
TILE_HEIGHT, TILE_WIDTH = 32, 52


def stitch(volume: torch.Tensor, gap: float) -> torch.Tensor:
    """[N, H, W, D] -> [N, 256, 256]: slice z is tile z + 12 of rows of 5 tiles, 32 high and 52 wide; W goes down, H across."""
    height, width, slices = volume.shape[1:]
    canvas = torch.full((volume.shape[0], CANVAS, CANVAS), gap, dtype=volume.dtype)
    for z in range(slices):
        row, column = divmod(z + FRONT, TILE_COLUMNS)
        y, x = row * TILE_HEIGHT, column * TILE_WIDTH
        canvas[:, y : y + width, x : x + height] = volume[..., z].transpose(1, 2)
    return canvas


def unstitch(canvas: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    height, width, slices = size
    volume = torch.empty((canvas.shape[0], *size), dtype=canvas.dtype)
    for z in range(slices):
        row, column = divmod(z + FRONT, TILE_COLUMNS)
        y, x = row * TILE_HEIGHT, column * TILE_WIDTH
        volume[..., z] = canvas[:, y : y + width, x : x + height].transpose(1, 2)
    return volume


def measured(logits: torch.Tensor) -> tuple[float, float, torch.Tensor]:
    """C, the mean over predicted foreground (0 without), and the labels of one crop's logits [1, K, H, W, D]."""
    confidence, label = torch.softmax(logits, 1).max(1)
    foreground = label > 0
    inside = confidence[foreground].double().mean().item() if foreground.any() else 0.0
    return confidence.double().mean().item(), inside, label


def decay(step: int) -> float:
    return (1 - step / TOTAL_STEPS) ** 0.9


def exchange(calmed: Callable[[Tensors], Tensors]) -> goldens.Case:
    """Steps of SFR+ with Mean Teacher: `losses` [steps, 11] = (total, labelled, pseudo-label or 0, consistency, SAM's or 0,
    C of the two crops, foreground confidence of the two, route of the two, 1 where the crop teaches SAM);
    `student_travel`, `sam_travel`: final minus start of all trained tensors with a true gradient, in alphabetical order.
    SGD lr 0.05 (1 - t/12)^0.9, momentum 0.9, weight decay 1e-4; AdamW lr 1e-4 (1 - t/12)^0.9, weight decay 0.1, its
    updates counted on from 7.
    """

    def case(dtype: torch.dtype) -> Tensors:
        nets, batch = methods.Networks(("student", "teacher"), ("student",), dtype, methods.Setting()), methods.Batch(methods.Setting())
        config = sam.tiny(CANVAS, methods.CLASSES)
        sam_start = calmed(inputs.weights(sam.parameter_shapes(config)))
        p = {n: v.to(dtype, copy=True).requires_grad_("gaussian" not in n) for n, v in sam_start.items()}
        trained = {n: v for n, v in p.items() if v.requires_grad}
        student = nets.parameters["student"]
        start = {n: v.detach().clone() for n, v in student.items()}
        sgd = torch.optim.SGD(student.values(), momentum=0.9, weight_decay=1e-4, lr=1.0)
        adam = torch.optim.AdamW(trained.values(), betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
        for value in trained.values():
            zeros = {"exp_avg": torch.zeros_like(value), "exp_avg_sq": torch.zeros_like(value)}
            adam.state[value] = {"step": torch.tensor(float(SAM_STAGE_STEPS))} | zeros
        image, size = batch.image.to(dtype), methods.Setting().size
        rows = []
        for step in range(STEPS):
            nets.step = STAGE_STEPS + step
            with torch.no_grad():
                statistics = nets.statistics["student"]
                seen = [measured(vnet.forward(student, statistics, image[i : i + 1], False)) for i in (2, 3)]
            sure = [i for i, (c, _, _) in enumerate(seen) if c >= TAU]
            unsure = [i for i in (0, 1) if i not in sure]
            order = [0, 1, *(2 + i for i in unsure + sure)]
            with torch.no_grad():
                canvases = stitch(image[[2 + i for i in unsure], 0], 0.0)[:, None]
                full = sam.full_size(sam.forward(p, config, canvases, None), CANVAS) if unsure else canvases
                pseudo = unstitch(full.argmax(1), size)
            x = batch.image[order]
            logits = nets("student", x)
            with torch.no_grad():
                target = nets("teacher", nets.noisy(x, "teacher/noise"))
            labelled = losses.segmentation_loss(logits[:2], batch.label[:2])
            pseudo_loss = losses.segmentation_loss(logits[2 : 2 + len(unsure)], pseudo) if unsure else torch.zeros(())
            consistency = losses.consistency(logits, target)
            total = labelled + pseudo_loss + LARGEST_WEIGHT * consistency
            sgd.zero_grad()
            total.backward()
            sgd.param_groups[0]["lr"] = SEGMENTER_RATE * decay(step)
            sgd.step()
            losses.update_teacher(nets.parameters["teacher"], student, nets.step)
            sam_losses = []
            for i in sure:
                values = torch.cat([image[:1, 0], image[2 + i : 3 + i, 0]])
                canvases = stitch(values, 0.0)[:, None]
                label = torch.cat([batch.label[:1], seen[i][2].to(torch.uint8)])
                full = sam.full_size(sam.forward(p, config, canvases, None), CANVAS)
                loss = losses.segmentation_loss(full, stitch(label, losses.GAP))
                adam.zero_grad()
                loss.backward()
                adam.param_groups[0]["lr"] = SAM_RATE * decay(step)
                adam.step()
                sam_losses.append(loss.item())
            row = [total.item(), labelled.item(), pseudo_loss.item(), consistency.item()]
            row.append(sum(sam_losses) / max(len(sam_losses), 1))
            row += [c for c, _, _ in seen] + [f for _, f, _ in seen] + [float(i in sure) for i in (0, 1)]
            rows.append(row)
        zero = set(vnet.zero_gradient_names(methods.FILTERS))
        kept = [n for n in sorted(student) if n not in zero and not n.startswith("out_conv_dp")]
        keys = set(sam.zero_gradient_names(config))
        sam_travel = goldens.travel(trained, {n: v.to(dtype) for n, v in sam_start.items()})
        return {
            "losses": torch.tensor(rows, dtype=torch.float64),
            "student_travel": torch.cat([(student[n].detach() - start[n]).double().reshape(-1) for n in kept]),
            "sam_travel": torch.cat(
                [v.reshape(-1) for n, v in sorted(sam_travel.items()) if n.removeprefix("travel/") not in keys]
            ),
        }

    return case
