"""MagicNet's V-Net: vnet.py's with instance-norm without learned parameters and no dropout, by the authors' names."""

import torch

import vnet

Tensors = dict[str, torch.Tensor]


def _name(name: str) -> str:
    decoder = ("out_conv", *(f"block_{block}" for block in vnet.UP_FROM), *(f"block_{b}_up" for b in vnet.UP_FROM.values()))
    return f"decoder.{name}" if name.split(".")[0] in decoder else f"encoder.{name}"


def parameter_shapes(filters: int, classes: int, channels: int = 1) -> dict[str, tuple[int, ...]]:
    shapes = vnet.parameter_shapes(filters, classes, channels)
    return {
        _name(name): shape
        for name, shape in shapes.items()
        if not name.startswith("out_conv_dp") and (not ".conv." in name or name.rsplit(".", 2)[1] in "036")
    }


def fresh_statistics(filters: int, dtype: torch.dtype = torch.float32) -> Tensors:
    """Instance-norm keeps none."""
    return {}


def zero_gradient_names(filters: int) -> list[str]:
    """Biases of convolutions before instance-norm."""
    return [_name(name) for name in vnet.zero_gradient_names(filters)]


def _plain(p: Tensors) -> Tensors:
    """By vnet.py's names."""
    return {name.split(".", 1)[1]: value for name, value in p.items()}


def _keep(_place: str, x: torch.Tensor) -> torch.Tensor:
    return x


def forward(
    p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool, dropout: vnet.Dropout | None = None
) -> torch.Tensor:
    """Logits [N, K, H, W, D] of x [N, channels, H, W, D]; it has no dropout."""
    return vnet.forward(_plain(p), {}, x, training)


def encode(p: Tensors, statistics: Tensors, x: torch.Tensor, training: bool, drop: vnet.Dropout) -> list[torch.Tensor]:
    return vnet.encode(_plain(p), {}, x, training, _keep)


def decode(
    p: Tensors, statistics: Tensors, maps: list[torch.Tensor], training: bool, drop: vnet.Dropout
) -> list[torch.Tensor]:
    return vnet.decode(_plain(p), {}, maps, training, _keep)


def head(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    return vnet.head(_plain(p), x)
