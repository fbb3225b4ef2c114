"""The deep-supervised 3D U-Net of SSL4MIS (unet_3D_dv_semi) as functions of a dictionary of tensors with its state-dict
names.

Axis order N, C, H, W, D, as in vnet.py, whose interface this is.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

Tensors = dict[str, torch.Tensor]
LEVELS = 4
# Rate of the channel dropout after each level of the decoder.
DROPOUT = {"up4": 0.5, "up3": 0.3, "up2": 0.2, "up1": 0.1}


def _blocks(filters: int, channels: int) -> Iterator[tuple[str, int, int]]:
    """(prefix, input channels, output channels) of every pair of convolutions."""
    for level in range(LEVELS):
        yield f"conv{level + 1}", channels if level == 0 else filters << (level - 1), filters << level
    yield "center", filters << (LEVELS - 1), filters << LEVELS
    for level in reversed(range(LEVELS)):
        yield f"up_concat{level + 1}.conv", 3 * (filters << level), filters << level


def _head(level: int) -> str:
    return "dsv1" if level == 1 else f"dsv{level}.dsv.0"


def parameter_shapes(filters: int, classes: int, channels: int = 1) -> dict[str, tuple[int, ...]]:
    """Shapes of all learnable tensors, those of the three unused heads included."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs, outputs in _blocks(filters, channels):
        for part, before in (("conv1", inputs), ("conv2", outputs)):
            shapes[f"{name}.{part}.0.weight"] = (outputs, before, 3, 3, 3)
            shapes[f"{name}.{part}.0.bias"] = (outputs,)
    for level in range(1, LEVELS + 1):
        shapes[f"{_head(level)}.weight"] = (classes, filters << (level - 1), 1, 1, 1)
        shapes[f"{_head(level)}.bias"] = (classes,)
    return shapes


def fresh_statistics(filters: int, dtype: torch.dtype = torch.float32) -> Tensors:
    """Instance-norm keeps none."""
    return {}


def zero_gradient_names(filters: int) -> list[str]:
    """Biases of convolutions before instance-norm: their true gradient is zero (the norm subtracts them again)."""
    return [f"{name}.{part}.0.bias" for name, _, _ in _blocks(filters, 1) for part in ("conv1", "conv2")]


def dropout_channels(filters: int, unused_heads: bool) -> dict[str, int]:
    """Channels at each place of DROPOUT; the unused heads have none of their own."""
    return {f"up{level}": filters << (level - 1) for level in range(1, LEVELS + 1)}


def _block(p: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    for part in ("conv1", "conv2"):
        x = F.conv3d(x, p[f"{name}.{part}.0.weight"], p[f"{name}.{part}.0.bias"], padding=1)
        x = torch.relu_(F.instance_norm(x, eps=1e-5))
    return x


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
    """Logits [N, K, H, W, D] of the finest head for x [N, channels, H, W, D]; sizes are multiples of 16.

    There are no statistics. `dropout(place, x)` is called with the places of DROPOUT. `scales` gets the logits of the
    coarser scales, those of half the resolution first, resized (trilinear). `unused_heads` computes the three coarser
    heads and throws them away, as the authors' network does.
    """
    size = x.shape[2:]
    skips: list[torch.Tensor] = []
    for level in range(1, LEVELS + 1):
        skips.append(_block(p, f"conv{level}", x))
        x = F.max_pool3d(skips[-1], 2)
    x = _block(p, "center", x)
    for level in range(LEVELS, 0, -1):
        x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        x = _block(p, f"up_concat{level}.conv", torch.cat([skips.pop(), x], 1))
        x = dropout(f"up{level}", x) if dropout is not None else x
        if (unused_heads or scales is not None) and level > 1:
            side = F.conv3d(x, p[f"{_head(level)}.weight"], p[f"{_head(level)}.bias"])
            side = F.interpolate(side, size=size, mode="trilinear", align_corners=False)
            if scales is not None:
                scales.insert(0, side)
    return F.conv3d(x, p["dsv1.weight"], p["dsv1.bias"])
