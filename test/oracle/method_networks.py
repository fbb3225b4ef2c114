"""What the re-training methods' goldens share: networks, the batch, schedules.

The networks have 4 filters and are calm (README): V-Nets, and those that a method is meant for; K = 3, on 2 labelled and 2
unlabelled crops. T = 10 steps, so that
the ramp-ups move within the five; the consistency weight is 10 at the end of the ramp, so that the unsupervised terms
weigh about as much as the others; plain SGD without momentum and decay, so that what it holds is the gradient.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

import inputs
import losses
import vnet

Tensors = dict[str, torch.Tensor]
STEPS, TOTAL_STEPS = 5, 10
CLASSES, FILTERS = 3, 4
LARGEST_WEIGHT, LEARNING_RATE, CALM = 10.0, 0.05, 3.0


@dataclass(frozen=True)
class Setting:
    """Which network a method trains, and the extents of its crops."""

    net: ModuleType = vnet
    size: tuple[int, int, int] = (48, 32, 16)
    filters: int = FILTERS
    classes: int = CLASSES
    # The calm networks with instance-norm stay calm for five steps at lower ones.
    learning_rate: float = LEARNING_RATE

    @property
    def side(self) -> int:
        """Of cubes."""
        return 32 if all(extent % 32 == 0 for extent in self.size) else 16

    @property
    def grid(self) -> tuple[int, int, int]:
        """Cubes along z, y, x."""
        x, y, z = (extent // self.side for extent in self.size)
        return (z, y, x)

    @property
    def places(self) -> int:
        return math.prod(self.grid)


def shapes_of(name: str, setting: Setting) -> dict[str, tuple[int, ...]]:
    """Learnable tensors of a network, by its name: of a whole one, a decoder, or a head of a method's own."""
    filters, classes = setting.filters, setting.classes
    if name.endswith("-decoder"):
        return vnet.decoder_shapes(filters, classes)
    if name == "distance":
        return {"out_conv.weight": (classes - 1, filters, 1, 1, 1), "out_conv.bias": (classes - 1,)}
    if name == "location":  # of cubes, from a bottleneck of so many values
        deepest = 16 * filters * (setting.side // 16) ** 3
        return perceptron_shapes("fc_layer", deepest, 2 * deepest, setting.places)
    if name == "contrast":
        selectors = (perceptron_shapes(f"selector_{k}", 32, 32, 1) for k in range(1, classes))
        shapes = perceptron_shapes("projection", filters, 32, 32) | perceptron_shapes("prediction", 32, 32, 32)
        return shapes | {key: shape for selector in selectors for key, shape in selector.items()}
    return setting.net.parameter_shapes(filters, classes)


def perceptron_shapes(name: str, inputs_: int, hidden: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Linear, batch-norm, activation, linear."""
    return {
        f"{name}.0.weight": (hidden, inputs_),
        f"{name}.0.bias": (hidden,),
        f"{name}.1.weight": (hidden,),
        f"{name}.1.bias": (hidden,),
        f"{name}.3.weight": (outputs, hidden),
        f"{name}.3.bias": (outputs,),
    }


class Networks:
    """Networks by name: parameters, statistics, and forward passes with the dropout masks of a step."""

    def __init__(self, names: tuple[str, ...], trained: tuple[str, ...], dtype: torch.dtype, setting: Setting):
        self.dtype, self.step, self.trained, self.setting = dtype, 0, trained, setting
        self.net, self.classes = setting.net, setting.classes
        self.parameters: dict[str, Tensors] = {}
        self.memory: dict[Any, Any] = {}  # what a method keeps from step to step
        self.statistics = {name: self.net.fresh_statistics(setting.filters, dtype) for name in names}
        for seed, name in enumerate(names, start=inputs.SEED):
            values = inputs.weights(shapes_of(name, setting), seed)
            for key, value in values.items():
                if key.endswith(".bias") and key.rsplit(".", 2)[-2] in ("1", "4", "7"):
                    value = value + torch.tensor(CALM)
                if self.net is not vnet:
                    value = inputs.carrying_slabs(key, value)
                values[key] = value.to(dtype, copy=True).requires_grad_(name in trained)
            self.parameters[name] = values

    def dropout(self, name: str, stream: str) -> vnet.Dropout:
        """Channel dropout of a pass; `stream` is the name of a further pass."""
        net = f"{stream}/{name}" if stream else name

        def drop(place: str, value: torch.Tensor) -> torch.Tensor:
            mask = inputs.channel_mask(net, place, (value.shape[0], value.shape[1]), self.net.DROPOUT[place], self.step)
            return value * mask.to(value.dtype)[:, :, None, None, None]

        return drop

    def __call__(
        self, name: str, x: torch.Tensor, stream: str = "", scales: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Logits in training mode; `scales` gets those of the coarser scales."""
        p, statistics = self.parameters[name], self.statistics[name]
        more = {} if scales is None else {"scales": scales}
        return self.net.forward(p, statistics, x.to(self.dtype), True, self.dropout(name, stream), **more)

    def encode(self, name: str, x: torch.Tensor, stream: str = "") -> list[torch.Tensor]:
        p, statistics = self.parameters[name], self.statistics[name]
        return self.net.encode(p, statistics, x.to(self.dtype), True, self.dropout(name, stream))

    def decode(self, name: str, maps: list[torch.Tensor], stream: str = "") -> list[torch.Tensor]:
        p, statistics = self.parameters[name], self.statistics[name]
        return self.net.decode(p, statistics, maps, True, self.dropout(name, stream))

    def head(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.net.head(self.parameters[name], x)

    def noisy(self, x: torch.Tensor, stream: str) -> torch.Tensor:
        return x + inputs.teacher_noise(tuple(x.shape), self.step, stream)


class Batch:
    def __init__(self, setting: Setting) -> None:
        size = setting.size
        self.label = inputs.checker_label((4, *size), setting.classes, 8)
        self.image = (inputs.image if setting.net is vnet else inputs.slab_image)("volume", self.label)
        self.labelled, self.unlabelled = self.image[:2], self.image[2:]
        self.pseudo_label = inputs.checker_label((2, *size), setting.classes, 8, shift=2)


def supervised(logits: torch.Tensor, batch: Batch, with_pseudo_labels: bool) -> list[torch.Tensor]:
    """(L_sup), or (L_sup, L_pl)."""
    terms = [losses.segmentation_loss(logits[:2], batch.label[:2])]
    return terms + [losses.segmentation_loss(logits[2:4], batch.pseudo_label)] if with_pseudo_labels else terms


def ramp(t: float) -> float:
    return math.exp(-5.0 * (1.0 - min(t / TOTAL_STEPS, 1.0)) ** 2)


def weight(t: int) -> float:
    return losses.consistency_weight(t, LARGEST_WEIGHT, 40.0, TOTAL_STEPS / 40)


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * torch.log(p + 1e-6)).sum(1)


Losses = Callable[[Networks, Batch, int, bool], list[torch.Tensor]]
