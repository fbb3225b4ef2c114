"""The V-Net of SFR as functions of a dictionary of tensors with the authors' state-dict names.

Axis order N, C, H, W, D (PyTorch's NCDHW with the paper's (H, W, D) as the three axes).
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

Tensors = dict[str, torch.Tensor]
# (name, level of its input, convs): widths are filters * 2^level.
DOWN = (("one", 0, 1), ("two", 1, 2), ("three", 2, 3), ("four", 3, 3), ("five", 4, 3))
UP = (("six", 3, 3), ("seven", 2, 3), ("eight", 1, 2), ("nine", 0, 1))
UP_FROM = {"six": "five", "seven": "six", "eight": "seven", "nine": "eight"}
# Rate of the channel dropout at each place; head1 .. head3 belong to the unused heads.
DROPOUT = dict.fromkeys(("bottleneck", "head", "head1", "head2", "head3"), 0.5)
UNUSED_HEADS = (("out_conv_dp1", 1), ("out_conv_dp2", 2), ("out_conv_dp3", 3))


def _layers(filters: int, channels: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Every conv with batch-norm: (prefix, weight shape, output channels)."""
    for name, level, convs in DOWN + UP:
        width = filters << level
        for i in range(convs):
            inputs = channels if (name, i) == ("one", 0) else width
            yield f"block_{name}.conv.{3 * i}", (width, inputs, 3, 3, 3), width
        if name in ("one", "two", "three", "four"):
            yield f"block_{name}_dw.conv.0", (2 * width, width, 2, 2, 2), 2 * width
        if name in ("five", "six", "seven", "eight"):
            yield f"block_{name}_up.conv.0", (width, width // 2, 2, 2, 2), width // 2


def _norm_prefix(conv: str) -> str:
    block, index = conv.rsplit(".", 1)
    return f"{block}.{int(index) + 1}"


def parameter_shapes(filters: int, classes: int, channels: int = 1) -> dict[str, tuple[int, ...]]:
    """Shapes of all learnable tensors, those of the three unused heads included."""
    shapes: dict[str, tuple[int, ...]] = {}
    for conv, weight, width in _layers(filters, channels):
        norm = _norm_prefix(conv)
        shapes[f"{conv}.weight"] = weight
        for name in (f"{conv}.bias", f"{norm}.weight", f"{norm}.bias"):
            shapes[name] = (width,)
    for name, level in (("out_conv", 0), *UNUSED_HEADS):
        shapes[f"{name}.weight"] = (classes, filters << level, 1, 1, 1)
        shapes[f"{name}.bias"] = (classes,)
    return shapes


def fresh_statistics(filters: int, dtype: torch.dtype = torch.float32) -> Tensors:
    """Running mean 0 and variance 1 of every batch-norm."""
    statistics: Tensors = {}
    for conv, _, width in _layers(filters, 1):
        norm = _norm_prefix(conv)
        statistics[f"{norm}.running_mean"] = torch.zeros(width, dtype=dtype)
        statistics[f"{norm}.running_var"] = torch.ones(width, dtype=dtype)
    return statistics


def decoder_shapes(filters: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the learnable tensors of a decoder and its head."""
    decoder = tuple(f"block_{name}_up." for name in UP_FROM.values()) + tuple(f"block_{name}." for name in UP_FROM)
    shapes = parameter_shapes(filters, classes)
    return {name: shape for name, shape in shapes.items() if name.startswith((*decoder, "out_conv."))}


def zero_gradient_names(filters: int) -> list[str]:
    """Biases of convolutions before batch-norm: their true gradient is zero (the norm subtracts them again)."""
    return [f"{conv}.bias" for conv, _, _ in _layers(filters, 1)]


def dropout_channels(filters: int, unused_heads: bool) -> dict[str, int]:
    """Channels at each place of DROPOUT; those of the unused heads only where they are computed."""
    heads = {f"head{level}": filters << level for _, level in UNUSED_HEADS} if unused_heads else {}
    return {"bottleneck": 16 * filters, "head": filters} | heads


def _conv_norm_relu(p: Tensors, s: Tensors, conv: str, x: torch.Tensor, training: bool) -> torch.Tensor:
    weight, bias, norm = p[f"{conv}.weight"], p[f"{conv}.bias"], _norm_prefix(conv)
    if "_up." in conv:
        x = F.conv_transpose3d(x, weight, bias, stride=2)
    elif "_dw." in conv:
        x = F.conv3d(x, weight, bias, stride=2)
    else:
        x = F.conv3d(x, weight, bias, padding=1)
    if f"{norm}.weight" not in p:  # MagicNet's
        return torch.relu_(F.instance_norm(x, eps=1e-5))
    mean, variance = s[f"{norm}.running_mean"], s[f"{norm}.running_var"]
    x = F.batch_norm(x, mean, variance, p[f"{norm}.weight"], p[f"{norm}.bias"], training, 0.1, 1e-5)
    return torch.relu_(x)


Dropout = Callable[[str, torch.Tensor], torch.Tensor]


def forward(
    p: Tensors,
    statistics: Tensors,
    x: torch.Tensor,
    training: bool,
    dropout: Dropout | None = None,
    unused_heads: bool = False,
    scales: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Logits [N, K, H, W, D] of x [N, channels, H, W, D]; sizes are multiples of 16.

    `statistics` are updated in place when `training` (momentum 0.1, unbiased variance).
    `dropout(place, x)` is called with place `bottleneck`, `head` and, for the unused heads, `head1` .. `head3`.
    `scales` gets the logits of the coarser scales, those of half the resolution first, resized (nearest).
    `unused_heads` computes the three deep-supervision heads and throws them away, as the authors' network does.
    """
    drop = dropout if dropout is not None else (lambda _place, value: value)
    decoded = decode(p, statistics, encode(p, statistics, x, training, drop), training, drop)
    if unused_heads or scales is not None:
        for name, level in UNUSED_HEADS:
            side = drop(f"head{level}", decoded[level])
            side = F.conv3d(side, p[f"{name}.weight"], p[f"{name}.bias"])
            side = F.interpolate(side, size=x.shape[2:], mode="nearest")
            if scales is not None:
                scales.append(side)
    return head(p, decoded[0])


def encode(p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool, drop: Dropout) -> list[torch.Tensor]:
    """Maps of the encoder, from full resolution to the bottleneck after its dropout."""
    maps: list[torch.Tensor] = []
    for name, _, convs in DOWN:
        for i in range(convs):
            x = _conv_norm_relu(p, statistics, f"block_{name}.conv.{3 * i}", x, training)
        maps.append(x)
        if name != "five":
            x = _conv_norm_relu(p, statistics, f"block_{name}_dw.conv.0", x, training)
    return [*maps[:-1], drop("bottleneck", x)]


def decode(
    p: Tensors, statistics: Tensors, maps: list[torch.Tensor], training: bool, drop: Dropout
) -> list[torch.Tensor]:
    """Maps of the decoder, the finest, after its dropout, first."""
    *skips, x = maps
    decoded: list[torch.Tensor] = []
    for (name, _, convs), skip in zip(UP, reversed(skips)):
        x = _conv_norm_relu(p, statistics, f"block_{UP_FROM[name]}_up.conv.0", x, training) + skip
        for i in range(convs):
            x = _conv_norm_relu(p, statistics, f"block_{name}.conv.{3 * i}", x, training)
        decoded.insert(0, x)
    return [drop("head", decoded[0]), *decoded[1:]]


def head(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    return F.conv3d(x, p["out_conv.weight"], p["out_conv.bias"])
