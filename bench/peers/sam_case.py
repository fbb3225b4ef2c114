"""SAM of the benches. A case is {"model": "tiny" | "vit_b", "canvas": S, "classes": K, "batch": N, "rank": r}.

Settings: default is the published network operation by operation (score matrix and decomposed relative positions
written out), `sdpa` uses scaled_dot_product_attention with the relative positions as its mask, `bf16` autocast.
"""

from dataclasses import dataclass, replace

import torch

from peer import Request
import inputs
import losses
import sam

SETTINGS = ("bf16", "sdpa", "compiled")
MODELS = {"tiny": sam.tiny, "vit_b": sam.vit_b}


@dataclass(frozen=True)
class SamCase:
    config: sam.SamConfig
    batch: int
    weights: dict[str, torch.Tensor]
    lora: dict[str, torch.Tensor] | None
    sdpa: bool
    device: torch.device

    def image_and_label(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Canvas inputs.image("canvas", label) and checker_label with blocks of 16, every 11th pixel ignored."""
        size = self.config.canvas
        label = inputs.checker_label((self.batch, size, size), self.config.classes, 16)
        return inputs.image("canvas", label).to(self.device), inputs.mark_some(label, losses.GAP).to(self.device)

    def merged(self) -> "SamCase":
        """The same network without LoRA: B A is added to the weights."""
        weights, width = dict(self.weights), self.config.width
        for i in range(self.config.depth):
            name = f"image_encoder.blocks.{i}.attn.qkv.weight"
            qkv = weights[name].clone()
            qkv[:width] += self.lora[f"w_b_{2 * i:03d}"] @ self.lora[f"w_a_{2 * i:03d}"]
            qkv[-width:] += self.lora[f"w_b_{2 * i + 1:03d}"] @ self.lora[f"w_a_{2 * i + 1:03d}"]
            weights[name] = qkv
        return replace(self, weights=weights, lora=None)

    def forward(self, canvas: torch.Tensor) -> torch.Tensor:
        """Logits [N, K, S, S]."""
        logits = sam.forward(self.weights, self.config, canvas, self.lora, self.sdpa)
        return sam.full_size(logits, self.config.canvas)


def read(request: Request) -> SamCase:
    c = request.case
    config = MODELS[c["model"]](c["canvas"], c["classes"])
    shapes = (sam.parameter_shapes(config), sam.lora_shapes(config, c["rank"]))
    weights, lora = ({n: v.to(request.device) for n, v in inputs.weights(s).items()} for s in shapes)
    return SamCase(config, c["batch"], weights, lora, "sdpa" in request.options, request.device)
