"""The V-Net of the benches: weights, batch and settings. A case is
{"patch": [H, W, D], "batch": N, "filters": F, "classes": K}.

Equality is checked against the default setting: PyTorch's channels-last batch-norm sums its statistics in f32 without
blocks, which at 4 x 112 x 112 x 80 moves the logits by up to 8e-3 (default: 6e-5; both against f64).
"""

from dataclasses import dataclass

import torch

from peer import Request
import inputs
import vnet

SETTINGS = ("channels-last", "compiled", "no-heads")


@dataclass(frozen=True)
class VnetCase:
    patch: tuple[int, int, int]
    batch: int
    filters: int
    classes: int
    layout: torch.memory_format
    unused_heads: bool

    def weights(self, seed: int) -> dict[str, torch.Tensor]:
        values = inputs.weights(vnet.parameter_shapes(self.filters, self.classes), seed)
        return {n: v.to(memory_format=self.layout) if v.dim() == 5 else v for n, v in values.items()}

    def image_and_label(self) -> tuple[torch.Tensor, torch.Tensor]:
        """inputs.image("volume", label) and checker_label with blocks of 8."""
        label = inputs.checker_label((self.batch, *self.patch), self.classes, 8)
        return inputs.image("volume", label).to(memory_format=self.layout), label

    def places(self) -> dict[str, int]:
        """Channels per dropout; those of the unused heads only where they are computed."""
        f = self.filters
        heads = {"head1": 2 * f, "head2": 4 * f, "head3": 8 * f} if self.unused_heads else {}
        return {"bottleneck": 16 * f, "head": f} | heads

    def masks(self, net: str, step: int) -> dict[str, torch.Tensor]:
        """Philox masks at step 0 (the one that is checked), PyTorch's own random numbers afterwards."""
        if step == 0:
            return {p: inputs.channel_mask(net, p, self.batch, c, 0) for p, c in self.places().items()}
        return {p: (torch.rand(self.batch, c) >= 0.5).float() * 2 for p, c in self.places().items()}


def read(request: Request) -> VnetCase:
    c = request.case
    layout = torch.channels_last_3d if "channels-last" in request.options else torch.contiguous_format
    heads = "no-heads" not in request.options
    return VnetCase(tuple(c["patch"]), c["batch"], c["filters"], c["classes"], layout, heads)


def apply_masks(masks: dict[str, torch.Tensor]) -> vnet.Dropout:
    return lambda place, x: x * masks[place][:, :, None, None, None]
