"""The segmenters of the benches: weights, batch and settings. A case is
{"model": "vnet" or "unet3d", "patch": [H, W, D], "batch": N, "filters": F, "classes": K}; a batch of 1 where there is none.

Equality is checked against the default setting: PyTorch's channels-last batch-norm sums its statistics in f32 without
blocks, which at 4 x 112 x 112 x 80 moves the logits by up to 8e-3 (default: 6e-5; both against f64).
"""

from dataclasses import dataclass
from types import ModuleType

import torch

from peer import Request
import inputs
import unet3d
import vnet

NETWORKS = {"vnet": vnet, "unet3d": unet3d}
SETTINGS = ("bf16", "channels-last", "compiled", "no-heads")


@dataclass(frozen=True)
class SegmenterCase:
    net: ModuleType
    patch: tuple[int, int, int]
    batch: int
    filters: int
    classes: int
    layout: torch.memory_format
    unused_heads: bool
    device: torch.device

    def weights(self, seed: int) -> dict[str, torch.Tensor]:
        values = inputs.weights(self.net.parameter_shapes(self.filters, self.classes), seed)
        return {n: self._placed(v) for n, v in values.items()}

    def image_and_label(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.volumes(self.batch, self.patch)

    def volumes(self, count: int, extents: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """inputs.image("volume", label) and checker_label with blocks of 8."""
        label = inputs.checker_label((count, *extents), self.classes, 8)
        return self._placed(inputs.image("volume", label)), label.to(self.device)

    def noise(self, image: torch.Tensor, step: int) -> torch.Tensor:
        """The teacher's: the engine's at step 0 (the one that is checked), PyTorch's own random numbers afterwards."""
        if step == 0:
            return self._placed(inputs.teacher_noise(tuple(image.shape), 0))
        return torch.clamp(torch.randn_like(image) * 0.1, -0.2, 0.2)

    def masks(self, name: str, step: int) -> dict[str, torch.Tensor]:
        """Philox masks at step 0 (the one that is checked), PyTorch's own random numbers afterwards."""
        masks = {}
        for place, channels in self.net.dropout_channels(self.filters, self.unused_heads).items():
            rate, shape = self.net.DROPOUT[place], (self.batch, channels)
            kept = (torch.rand(shape, device=self.device) >= rate).float() / (1 - rate)
            masks[place] = inputs.channel_mask(name, place, shape, rate, 0).to(self.device) if step == 0 else kept
        return masks

    def statistics(self) -> dict[str, torch.Tensor]:
        return {n: v.to(self.device) for n, v in self.net.fresh_statistics(self.filters).items()}

    def _placed(self, value: torch.Tensor) -> torch.Tensor:
        layout = self.layout if value.dim() == 5 else torch.preserve_format
        return value.to(self.device, memory_format=layout)


def read(request: Request) -> SegmenterCase:
    c = request.case
    layout = torch.channels_last_3d if "channels-last" in request.options else torch.contiguous_format
    heads = "no-heads" not in request.options
    sizes = (tuple(c["patch"]), c.get("batch", 1), c["filters"], c["classes"])
    return SegmenterCase(NETWORKS[c["model"]], *sizes, layout, heads, request.device)


def apply_masks(masks: dict[str, torch.Tensor]) -> vnet.Dropout:
    return lambda place, x: x * masks[place][:, :, None, None, None]
