"""Weights and inputs of the goldens, made from the Philox stream so that both sides can make them.

All streams: seed 1 and step 0 unless said otherwise. Element i of a tensor is element i of its stream in row-major
order of the *reference* axis order (N, C, H, W / N, C, H, W, D; weights as PyTorch stores them).

Weights, stream `weights/<tensor name>`, n = standard normal:

- `*.weight` of a norm (1-D): 1 + 0.1 n
- `*.bias`: 0.1 n
- tokens and embeddings (mask_tokens, iou_token, *_embed.weight, point_embeddings.*, the Fourier matrix): n
- pos_embed, rel_pos_h, rel_pos_w: 0.2 n
- LoRA: w_a_* = n / sqrt(columns), w_b_* = 0.1 n / sqrt(rank)
- all other weights: n / sqrt(fan_in); fan_in = product of all axes but the first,
  for a transposed convolution (2x2 or 2x2x2, stride 2) the first axis alone

The scale is a double, the product is rounded to f32 once: f32(scale * double(n)), f32(1 + 0.1 * double(n)).
"""

import math
import re

import numpy as np
import torch

import philox

# Of all streams; the teacher's weights have the next one.
SEED = 1
TOKENS = ("mask_tokens.", "iou_token.", "point_embeddings.", "not_a_point_embed.", "no_mask_embed.", "gaussian_matrix")
# Convolutions that read a third of their channels from a skip, first, and the others from the level below.
CONCATENATED = re.compile(r"^up_concat\d\.conv\.conv1\.")
TRANSPOSED = ("_up.conv.0.", "output_upscaling.0.", "output_upscaling.3.")


def scale_of(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(offset, scale) of a weight tensor."""
    if any(part in name for part in TOKENS):
        return 0.0, 1.0
    if "pos_embed" in name or "rel_pos_" in name:
        return 0.0, 0.2
    if name.startswith("w_b_"):
        return 0.0, 0.1 / math.sqrt(shape[1])
    if name.endswith(".bias"):
        return 0.0, 0.1
    if len(shape) == 1:
        return 1.0, 0.1
    fan_in = shape[0] if any(part in name for part in TRANSPOSED) else math.prod(shape[1:])
    return 0.0, 1.0 / math.sqrt(fan_in)


def weight(name: str, shape: tuple[int, ...], seed: int = SEED) -> torch.Tensor:
    offset, scale = scale_of(name, shape)
    values = philox.normal(f"weights/{name}", shape, seed)
    return torch.from_numpy((offset + scale * values.astype(np.float64)).astype(np.float32))


def weights(shapes: dict[str, tuple[int, ...]], seed: int = SEED) -> dict[str, torch.Tensor]:
    return {name: weight(name, shape, seed) for name, shape in shapes.items()}


def carrying_slabs(name: str, value: torch.Tensor) -> torch.Tensor:
    """A convolution of a calm network with instance-norm: 0.05 of its usual weights, and taps of one value each that carry
    the slabs of slab_image() from level to level, with the sign of input plus output channel: after each norm the
    values of a channel lie about two values, one on each side of zero. Of what the 3D U-Net concatenates only the skip
    carries: interpolation blurs the edges of slabs. Other tensors stay."""
    if value.dim() != 5 or value.shape[2] == 1:
        return value
    transposed = any(part in name for part in TRANSPOSED)
    first, second, *kernel = value.shape
    taps = np.full(kernel, 1.0 if transposed else 1 / math.prod(kernel))
    if kernel[0] == 3:
        taps = np.zeros(kernel)
        taps[1, 1, 1] = 1.0
    signs = 1 - 2 * ((np.arange(first)[:, None] + np.arange(second)) % 2)
    carrying = first if transposed else second // 3 if CONCATENATED.search(name) else second
    if not transposed:
        signs[:, carrying:] = 0
    carried = signs[..., None, None, None] * taps / carrying
    return torch.from_numpy((0.05 * value.numpy().astype(np.float64) + carried).astype(np.float32))


def normal(name: str, shape: tuple[int, ...], step: int = 0) -> torch.Tensor:
    """Stream `input/<name>`, standard normal."""
    return torch.from_numpy(philox.normal(f"input/{name}", shape, step=step))


def checker_label(shape: tuple[int, ...], classes: int, block: int, shift: int = 0) -> torch.Tensor:
    """Labels [N, axes...]: (n + sum over axes of axis // block + shift) mod classes."""
    total = np.full(shape, shift, np.int64)
    for axis, size in enumerate(shape):
        step = 1 if axis == 0 else block
        index = np.arange(size) // step
        total += index.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return torch.from_numpy((total % classes).astype(np.uint8))


def mark_some(label: torch.Tensor, mark: int) -> torch.Tensor:
    """Label `mark` where (row-major index within the sample) mod 11 is 0."""
    flat = label.clone().reshape(label.shape[0], -1)
    flat[:, ::11] = mark
    return flat.reshape(label.shape)


def image(name: str, label: torch.Tensor) -> torch.Tensor:
    """Image [N, 1, ...]: f32(label) + n of stream `input/<name>`, one f32 addition; the label before ignoring."""
    noise = normal(name, (label.shape[0], 1, *label.shape[1:]))
    return label.unsqueeze(1).to(torch.float32) + noise


def slab_image(name: str, label: torch.Tensor) -> torch.Tensor:
    """Image [N, 1, H, W, D] in slabs of 16 along H and 32 along W: 1 and -1 in turns, + 0.2 (label - 1) + 0.05 n of stream
    `input/<name>`, rounded to f32 once."""
    shape = label.shape
    noise = normal(name, (shape[0], 1, *shape[1:])).numpy().astype(np.float64)
    slabs = 1 - 2 * ((np.arange(shape[1])[:, None, None] // 16 + np.arange(shape[2])[:, None] // 32) % 2)
    classes = label.numpy().astype(np.float64)[:, None]
    return torch.from_numpy((slabs + 0.2 * (classes - 1) + 0.05 * noise).astype(np.float32))


def channel_mask(net: str, place: str, shape: tuple[int, int], rate: float, step: int) -> torch.Tensor:
    """Channel dropout [N, C]: 1 / (1 - rate) where uniform(`<net>/<place>/dropout`, step)[n * C + c] >= rate, else 0."""
    draw = philox.uniform(f"{net}/{place}/dropout", shape, step=step)
    return torch.from_numpy((draw >= rate).astype(np.float32) * np.float32(1 / (1 - rate)))


def teacher_noise(shape: tuple[int, ...], step: int, stream: str = "teacher/noise") -> torch.Tensor:
    """clip(0.1 n, -0.2, 0.2) of `stream` at `step` for images [N, 1, H, W, D]; the product is rounded to f32 once.
    Elements are numbered in the engine's memory order: N, D, W, H."""
    n, c, h, w, d = shape
    values = philox.normal(stream, (n, d, w, h, c), step=step).astype(np.float64) * 0.1
    clipped = np.clip(values.astype(np.float32), np.float32(-0.2), np.float32(0.2))
    return torch.from_numpy(clipped.transpose(0, 4, 3, 2, 1).copy())


def sample_indices(count: int, wanted: int) -> np.ndarray:
    """Which entries of a tensor a golden keeps: all when count <= wanted, else (j * 2654435761 + 97) mod count."""
    if count <= wanted:
        return np.arange(count)
    return np.array([(j * 2654435761 + 97) % count for j in range(wanted)])
