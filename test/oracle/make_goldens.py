"""Writes goldens/*.safetensors. Usage: python make_goldens.py [case ...]

What each case computes stands beside it; weights and inputs are made as inputs.py says; packing: goldens.py.
"""

import re
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F

import exchange
import goldens
import inputs
import losses
import magicnet
import methods
import philox
import sam
import unet3d
import vnet

Tensors = dict[str, torch.Tensor]
STEPS = 10
CLASSES = 3
VOLUME_SIZE = (48, 32, 16)  # H, W, D
FILTERS = 4
LORA_RANK = 4
ADAPTER_WIDTH = 24  # a quarter of tiny's


# What stands in front of ReLUs: the V-Net's batch-norms, and the MLPs of SAM's mask decoder.
NORM_BIAS = re.compile(r"\.conv\.[147]\.bias$")
RELU_LAYER = re.compile(r"(transformer\.layers\.\d\.mlp\.lin1|hypernetworks_mlps\.\d\.layers\.[01])\.(weight|bias)$")


def calmed(values: Tensors) -> Tensors:
    """Keeps activations in front of ReLUs away from zero, so that rounding seldom flips one and ten steps can be compared
    closely. (A flip changes f32 gradients by 1e-3 whoever computes them, and Adam makes whole steps of that.)

    Adds 3 to the biases of the V-Net's batch-norms: 0.3 % of the activations stay negative. Divides the weights of the
    mask decoder's layers with ReLU by 8 and sets their biases to 1: none becomes negative within ten steps.
    """
    result: Tensors = {}
    for name, value in values.items():
        if NORM_BIAS.search(name):
            value = value + torch.tensor(3.0)
        elif RELU_LAYER.search(name):
            value = torch.ones_like(value) if name.endswith("bias") else value / 8
        result[name] = value
    return result


def parameters(values: Tensors, dtype: torch.dtype) -> Tensors:
    return {n: v.to(dtype, copy=True).requires_grad_() for n, v in values.items()}


# SAM


def sam_batch(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Canvas [2, 1, side, side] = image("canvas", label); checker_label(classes 3, block 16), then mark_some(GAP)."""
    label = inputs.checker_label((2, side, side), CLASSES, 16)
    return inputs.image("canvas", label), inputs.mark_some(label, losses.GAP)


# Which of SAM's own tensors train, by kind of training; the Fourier matrix never does.
TRAINED = {
    "full": re.compile(r"^(?!.*gaussian)"),
    "decoder": re.compile(r"^mask_decoder\."),
    "lora": re.compile(r"^(?!image_encoder\.|.*gaussian)"),
    "adapter": re.compile(r"^(?!image_encoder\.|.*gaussian)"),
}


def sam_training(c: sam.SamConfig, kind: str, steps: int = STEPS) -> goldens.Case:
    """`logits` (low resolution), `grad/*` of the first step, `losses` [steps, 3] = (total, CE, Dice), `travel/*`.

    `logits_after`. AdamW lr 1e-4 (t + 1) at step t = 0, 1, .., betas 0.9 / 0.999, eps 1e-8, weight decay 0.1. Full: every
    tensor trains. Decoder: the mask decoder alone. LoRA: rank 4, encoder frozen; LoRA, prompt encoder and mask decoder
    train. Adapter: the same with adapters, their bottleneck a quarter of the width. Calm (see calmed).
    """

    def case(dtype: torch.dtype) -> Tensors:
        start = calmed(inputs.weights(sam.parameter_shapes(c)))
        shapes = {"lora": sam.lora_shapes(c, LORA_RANK), "adapter": sam.adapter_shapes(c, ADAPTER_WIDTH)}
        more = inputs.weights(shapes.get(kind, {}))
        p = {n: v.to(dtype) for n, v in start.items()}
        trained = parameters({n: v for n, v in start.items() if TRAINED[kind].match(n)} | more, dtype)
        p |= trained
        added = {n: trained[n] for n in more} or None
        image, label = sam_batch(c.canvas)
        optimiser = torch.optim.AdamW(trained.values(), betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
        result, rows = {}, []
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 1e-4 * (step + 1)
            logits = sam.forward(p, c, image.to(dtype), added)
            full = sam.full_size(logits, c.canvas)
            ce, dice = losses.cross_entropy(full, label), losses.dice_loss(full, label)
            loss = 0.5 * (ce + dice)
            optimiser.zero_grad()
            loss.backward()
            if step == 0:
                result = {"logits": logits.detach().clone()} | goldens.gradients(trained)
            optimiser.step()
            rows.append([loss.item(), ce.item(), dice.item()])
        with torch.no_grad():
            result["logits_after"] = sam.forward(p, c, image.to(dtype), added)
        result["losses"] = torch.tensor(rows, dtype=torch.float64)
        return result | goldens.travel(trained, start | more)

    return case


def vit_b_block(index: int) -> goldens.Case:
    """One block of vit_b on tokens [1, 64, 64, 768] (`input/tokens`): `output`, `grad_input` and `grad/*` for the
    output gradient `input/grad_output`. Block 0 has windows of 14, block 2 is global."""

    def case(dtype: torch.dtype) -> Tensors:
        c = sam.vit_b()
        p = parameters(inputs.weights(sam.block_shapes(c, index)), dtype)
        x = inputs.normal("tokens", (1, 64, 64, c.width)).to(dtype).requires_grad_()
        y = sam.block(p, c, index, x, None)
        y.backward(inputs.normal("grad_output", (1, 64, 64, c.width)).to(dtype))
        return {"output": y.detach(), "grad_input": x.grad} | goldens.gradients(p)

    return case


def mask_decoder(dtype: torch.dtype) -> Tensors:
    """Decoder of width 256, K = 3, on an embedding [2, 256, 16, 16] (`input/embedding`): `masks`, `iou`, `grad_input`
    and `grad/*` for the masks' gradient `input/grad_masks`."""
    c = sam.tiny(256, CLASSES)
    p = parameters(inputs.weights(sam.prompt_shapes(c) | sam.decoder_shapes(c)), dtype)
    x = inputs.normal("embedding", (2, 256, 16, 16)).to(dtype).requires_grad_()
    masks, iou = sam.decode(p, c, x)
    masks.backward(inputs.normal("grad_masks", tuple(masks.shape)).to(dtype))
    fourier = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    position = sam.image_position(p, c.grid).detach()
    result = {"image_position": position, "masks": masks.detach(), "iou": iou.detach(), "grad_input": x.grad}
    return result | goldens.gradients({n: v for n, v in p.items() if n != fourier})


def table_resize(dtype: torch.dtype) -> Tensors:
    """What a checkpoint's tables become on another canvas: `position_<n>` = `input/position` [1, 64, 64, 8] to n x n,
    `relative_<n>` = `input/relative` [127, 8] to [2 n - 1, 8]; bilinear, align_corners = false, no anti-aliasing."""
    position = inputs.normal("position", (1, 64, 64, 8)).to(dtype).permute(0, 3, 1, 2)
    relative = inputs.normal("relative", (127, 8)).to(dtype)[None, None]
    result: Tensors = {}
    for n in (16, 32, 96):
        resized = F.interpolate(position, size=(n, n), mode="bilinear", align_corners=False)
        result[f"position_{n}"] = resized.permute(0, 2, 3, 1)
        resized = F.interpolate(relative, size=(2 * n - 1, 8), mode="bilinear", align_corners=False)
        result[f"relative_{n}"] = resized[0, 0]
    return result


# Segmenters


def segmenter_weights(net: ModuleType, calm: bool, seed: int) -> Tensors:
    values = inputs.weights(net.parameter_shapes(FILTERS, CLASSES), seed)
    if not calm:
        return values
    return calmed(values) if net is vnet else {n: inputs.carrying_slabs(n, v) for n, v in values.items()}


def volume_batch(slabs: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image [4, 1, 48, 32, 16] = image("volume", label) or slab_image of it, label checker_label(classes 3, block 8), and
    the pseudo-label of the samples 2 and 3 = checker_label over (2, 48, 32, 16) with shift 2, block 8."""
    label = inputs.checker_label((4, *VOLUME_SIZE), CLASSES, 8)
    pseudo = inputs.checker_label((2, *VOLUME_SIZE), CLASSES, 8, shift=2)
    return (inputs.slab_image if slabs else inputs.image)("volume", label), label, pseudo


def dropout(net: ModuleType, name: str, step: int) -> vnet.Dropout:
    def drop(place: str, x: torch.Tensor) -> torch.Tensor:
        mask = inputs.channel_mask(name, place, (x.shape[0], x.shape[1]), net.DROPOUT[place], step)
        return x * mask.to(x.dtype)[:, :, None, None, None]

    return drop


def plain(net: ModuleType, calm: bool = False) -> goldens.Case:
    """One network, batch statistics, no dropout: `logits`, `losses` [1], `grad/*` of 0.5 (CE + Dice) over all 4 samples,
    `eval_logits` afterwards with the running statistics after that one pass, `statistics/*`."""

    def case(dtype: torch.dtype) -> Tensors:
        p, s = parameters(segmenter_weights(net, calm, inputs.SEED), dtype), net.fresh_statistics(FILTERS, dtype)
        slabs = calm and net is not vnet
        image, label, _ = volume_batch(slabs)
        with goldens.away_from_zero(slabs):
            logits = net.forward(p, s, image.to(dtype), True)
        loss = losses.segmentation_loss(logits, label)
        loss.backward()
        with torch.no_grad():
            evaluated = net.forward(p, s, image.to(dtype), False)
        result = {"logits": logits.detach(), "losses": loss.detach().reshape(1), "eval_logits": evaluated}
        return result | goldens.gradients(p) | goldens.prefixed("statistics", s)

    return case


def mean_teacher(net: ModuleType, steps: int, calm: bool = False) -> goldens.Case:
    """Mean Teacher steps, 20 of the V-Net and five of the 3D U-Net: student weights seed 1, teacher weights seed 2,
    dropout in both, noise for the teacher.

    `logits` and `teacher_logits` of the first step, `grad/*` of the first step, `losses` [steps, 4] = (total, labelled,
    pseudo-label, consistency without its weight), `travel/*` of the student, `teacher/*` and `statistics/*` at the end,
    `logits_after`: of the student then, in evaluation mode.
    SGD lr 0.01 (calm V-Net: 0.05), momentum 0.9, weight decay 1e-4; the unused heads get no gradient and stay; EMA as in losses.py.
    """

    def case(dtype: torch.dtype) -> Tensors:
        start = segmenter_weights(net, calm, inputs.SEED)
        student = parameters(start, dtype)
        teacher_start = segmenter_weights(net, calm, inputs.SEED + 1)
        teacher = {n: v.to(dtype, copy=True) for n, v in teacher_start.items()}
        statistics, teacher_statistics = (net.fresh_statistics(FILTERS, dtype) for _ in range(2))
        slabs = calm and net is not vnet
        image, label, pseudo_label = volume_batch(slabs)
        rate = 0.05 if calm and not slabs else 0.01
        optimiser = torch.optim.SGD(student.values(), lr=rate, momentum=0.9, weight_decay=1e-4)
        result, rows = {}, []
        for step in range(steps):
            with goldens.away_from_zero(slabs):
                logits = net.forward(student, statistics, image.to(dtype), True, dropout(net, "student", step))
            noisy = image + inputs.teacher_noise(tuple(image.shape), step)
            with torch.no_grad():
                drop = dropout(net, "teacher", step)
                target = net.forward(teacher, teacher_statistics, noisy.to(dtype), True, drop)
            labelled = losses.segmentation_loss(logits[:2], label[:2])
            pseudo = losses.segmentation_loss(logits[2:], pseudo_label)
            consistency = losses.consistency(logits, target)
            loss = labelled + pseudo + losses.consistency_weight(step) * consistency
            optimiser.zero_grad()
            loss.backward()
            if step == 0:
                result = {"logits": logits.detach().clone(), "teacher_logits": target}
                result |= goldens.gradients(student)
            optimiser.step()
            losses.update_teacher(teacher, student, step)
            rows.append([x.item() for x in (loss, labelled, pseudo, consistency)])
        result["losses"] = torch.tensor(rows, dtype=torch.float64)
        with torch.no_grad():
            result["logits_after"] = net.forward(student, statistics, image.to(dtype), False)
        result |= goldens.travel(student, start)
        return result | goldens.prefixed("teacher", teacher) | goldens.prefixed("statistics", statistics)

    return case


# Losses and optimisers


def loss_values(dtype: torch.dtype) -> Tensors:
    """Per case `losses_<case>` [3] = (total, CE, Dice) and `grad/<case>`, the gradient of the total.

    Logits = 2 * `input/logits/<case>`, labels checker_label(block 4); `absent` merges the last two of its 5 classes
    into class 2 and then goes through mark_some(GAP), `gaps` too, `ignore` through mark_some(IGNORE); `mostly_ignored`
    keeps only the elements whose row-major index over all samples is 0 mod 97.
    """
    result: Tensors = {}
    shapes = {
        "plain_2": (2, 2, 24, 20),
        "ignore_3": (2, 3, 24, 20),
        "gaps_3": (2, 3, 24, 20),
        "absent_5": (2, 5, 24, 20),
        "mostly_ignored_3": (1, 3, 24, 20),
        "volume_4": (2, 4, 10, 9, 7),
    }
    for name, shape in shapes.items():
        logits = (2 * inputs.normal(f"logits/{name}", shape)).to(dtype).requires_grad_()
        label = inputs.checker_label((shape[0], *shape[2:]), shape[1], 4)
        if name.startswith("absent"):
            label[label > 2] = 2
        if name.startswith(("ignore", "gaps", "absent")):
            label = inputs.mark_some(label, losses.IGNORE if name.startswith("ignore") else losses.GAP)
        if name.startswith("mostly"):
            kept = torch.arange(label.numel()).reshape(label.shape) % 97 == 0
            label = torch.where(kept, label, torch.tensor(losses.IGNORE, dtype=label.dtype))
        ce, dice = losses.cross_entropy(logits, label), losses.dice_loss(logits, label)
        total = 0.5 * (ce + dice)
        total.backward()
        result[f"losses_{name}"] = torch.stack([total, ce, dice]).detach()
        result[f"grad/{name}"] = logits.grad
    return result


def optimiser_steps(dtype: torch.dtype) -> Tensors:
    """Five steps on a vector of 32: parameter `input/parameter`, gradients `input/gradient` at step t.

    `adamw_<t>`: lr 1e-2 (1 - t/5)^0.9, betas 0.9 / 0.999, eps 1e-8, weight decay 0.1; `sgd_<t>`: lr 0.01, momentum 0.9,
    weight decay 1e-4; `ema_<t>`: teacher `input/teacher` after step t, following the SGD parameter. t = 0 .. 4.
    """
    adam, sgd = (inputs.normal("parameter", (32,)).to(dtype).requires_grad_() for _ in range(2))
    teacher = {"p": inputs.normal("teacher", (32,)).to(dtype)}
    optimisers = (
        torch.optim.AdamW([adam], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
        torch.optim.SGD([sgd], lr=0.01, momentum=0.9, weight_decay=1e-4),
    )
    result: Tensors = {}
    for step in range(5):
        optimisers[0].param_groups[0]["lr"] = 1e-2 * (1 - step / 5) ** 0.9
        for p in (adam, sgd):
            p.grad = inputs.normal("gradient", (32,), step).to(dtype)
        for optimiser in optimisers:
            optimiser.step()
        losses.update_teacher(teacher, {"p": sgd}, step)
        for name, value in (("adamw", adam), ("sgd", sgd), ("ema", teacher["p"])):
            result[f"{name}_{step}"] = value.detach().clone()
    return result


def schedules(_: torch.dtype) -> Tensors:
    """Of a training of 6000 steps, at the steps t = 0, 1, 98, 99, 100, 149, 150, 2499, 2500, 4999, 5000, 5999:
    `consistency` and `ema` as in losses.py, `step` = 0.01 * 0.1 ^ (t // 2500), `poly` = 0.01 (1 - t / 6000)^0.9."""
    at = [0, 1, 98, 99, 100, 149, 150, 2499, 2500, 4999, 5000, 5999]
    values = {
        "consistency": [losses.consistency_weight(t) for t in at],
        "ema": [losses.ema_decay(t) for t in at],
        "step": [0.01 * 0.1 ** (t // 2500) for t in at],
        "poly": [0.01 * (1 - t / 6000) ** 0.9 for t in at],
    }
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


# Random numbers


def random_numbers(_: torch.dtype) -> Tensors:
    """What the engine's nodes draw, in memory order, at step 7: `normals` = stream `student/noise` [300001], seed 1;
    `clipped` = clip(0.1 n, +-0.2) of it with seed 5 * 2^32 + 9; `dropout` = 1 / 0.7 or 0 by the uniforms of stream
    `student/dropout` [3, 20011], rate 0.3; `channels` = the same stream by channel [3, 13], rate 0.5."""
    count, large_seed = (300001,), 5 * 2**32 + 9
    normals = philox.normal("student/noise", count, 1, 7)
    clipped = np.clip(0.1 * philox.normal("student/noise", count, large_seed, 7).astype(np.float64), -0.2, 0.2)
    kept = philox.uniform("student/dropout", (3, 20011), 1, 7) >= 0.3
    channels = philox.uniform("student/dropout", (3, 13), 1, 7) >= 0.5
    values = {"normals": normals, "clipped": clipped, "dropout": kept / 0.7, "channels": channels / 0.5}
    return {name: torch.from_numpy(value.astype(np.float64)) for name, value in values.items()}


def cases() -> dict[str, tuple[goldens.Case, list[str]]]:
    """Per golden: the case and the tensors whose true gradient is zero."""
    tiny = sam.tiny(256, CLASSES)
    convs, unet_convs = vnet.zero_gradient_names(FILTERS), unet3d.zero_gradient_names(FILTERS)
    keys = sam.zero_gradient_names(tiny)
    decoder_keys = [n for n in keys if n.startswith("mask_decoder.")]
    block_keys = {i: [f"image_encoder.blocks.{i}.attn.qkv.bias[key]"] for i in (0, 2)}
    return {
        "sam-tiny-full": (sam_training(tiny, "full"), keys),
        "sam-tiny-decoder": (sam_training(tiny, "decoder", steps=5), decoder_keys),
        "sam-tiny-lora": (sam_training(tiny, "lora"), decoder_keys),
        "sam-tiny-lora-small": (sam_training(sam.tiny(80, CLASSES), "lora", steps=5), decoder_keys),
        "sam-tiny-adapter": (sam_training(tiny, "adapter", steps=5), decoder_keys),
        "vit-b-lora": (sam_training(sam.vit_b(256, CLASSES), "lora", steps=5), decoder_keys),
        "vit-b-block-window": (vit_b_block(0), block_keys[0]),
        "vit-b-block-global": (vit_b_block(2), block_keys[2]),
        "mask-decoder": (mask_decoder, decoder_keys),
        "table-resize": (table_resize, []),
        "vnet": (plain(vnet), convs),
        "vnet-calm": (plain(vnet, calm=True), convs),
        "mean-teacher": (mean_teacher(vnet, steps=20), convs),
        "mean-teacher-calm": (mean_teacher(vnet, steps=20, calm=True), convs),
        "unet3d": (plain(unet3d), unet_convs),
        "magicnet": (plain(magicnet), magicnet.zero_gradient_names(FILTERS)),
        "unet3d-calm": (plain(unet3d, calm=True), unet_convs),
        "magicnet-calm": (plain(magicnet, calm=True), magicnet.zero_gradient_names(FILTERS)),
        "mean-teacher-unet3d": (mean_teacher(unet3d, steps=5, calm=True), unet_convs),
        **{f"method-{name}": (methods.five_steps(name), []) for name in methods.CASES},
        "exchange": (exchange.exchange(calmed), []),
        "losses": (loss_values, []),
        "optimisers": (optimiser_steps, []),
        "schedules": (schedules, []),
        "random": (random_numbers, []),
    }


def about(case: Callable[..., Tensors]) -> str:
    """The case's docstring: its own, or that of the function that made it."""
    maker = getattr(sys.modules[case.__module__], case.__qualname__.split(".")[0], case)
    return " ".join((maker.__doc__ or "").split())


def main() -> None:
    chosen = sys.argv[1:] or list(cases())
    for name in chosen:
        case, zero = cases()[name]
        goldens.write(name, case, about(case), zero)


if __name__ == "__main__":
    main()
