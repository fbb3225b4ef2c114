"""Segment Anything (Kirillov et al. 2023) without prompts, as functions of a dictionary of tensors.

State-dict names are the official ones. Tokens are [B, H, W, C], maps [B, C, H, W].
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Tensors = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]
PATCH = 16


@dataclass(frozen=True)
class SamConfig:
    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    canvas: int
    classes: int
    window: int = 14
    neck: int = 256  # width of the neck and of the mask decoder
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    decoder_depth: int = 2
    iou_hidden: int = 256

    @property
    def grid(self) -> int:
        """Tokens along one side of the canvas."""
        return self.canvas // PATCH


def tiny(canvas: int = 256, classes: int = 3) -> SamConfig:
    return SamConfig(96, 4, 3, (1, 3), canvas, classes)


def vit_b(canvas: int = 1024, classes: int = 2) -> SamConfig:
    return SamConfig(768, 12, 12, (2, 5, 8, 11), canvas, classes)


def _linear(shapes: Shapes, name: str, inputs: int, outputs: int) -> None:
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)


def _norm(shapes: Shapes, name: str, width: int) -> None:
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width,), (width,)


def block_shapes(c: SamConfig, index: int) -> Shapes:
    """Tensors of one encoder block."""
    shapes: Shapes = {}
    prefix, head = f"image_encoder.blocks.{index}", c.width // c.heads
    size = c.grid if index in c.global_blocks else c.window
    _norm(shapes, f"{prefix}.norm1", c.width)
    for axis in "hw":
        shapes[f"{prefix}.attn.rel_pos_{axis}"] = (2 * size - 1, head)
    _linear(shapes, f"{prefix}.attn.qkv", c.width, 3 * c.width)
    _linear(shapes, f"{prefix}.attn.proj", c.width, c.width)
    _norm(shapes, f"{prefix}.norm2", c.width)
    _linear(shapes, f"{prefix}.mlp.lin1", c.width, 4 * c.width)
    _linear(shapes, f"{prefix}.mlp.lin2", 4 * c.width, c.width)
    return shapes


def encoder_shapes(c: SamConfig) -> Shapes:
    shapes: Shapes = {"image_encoder.pos_embed": (1, c.grid, c.grid, c.width)}
    shapes["image_encoder.patch_embed.proj.weight"] = (c.width, 3, PATCH, PATCH)
    shapes["image_encoder.patch_embed.proj.bias"] = (c.width,)
    for index in range(c.depth):
        shapes |= block_shapes(c, index)
    shapes["image_encoder.neck.0.weight"] = (c.neck, c.width, 1, 1)
    _norm(shapes, "image_encoder.neck.1", c.neck)
    shapes["image_encoder.neck.2.weight"] = (c.neck, c.neck, 3, 3)
    _norm(shapes, "image_encoder.neck.3", c.neck)
    return shapes


def prompt_shapes(c: SamConfig) -> Shapes:
    """Only no_mask_embed and the Fourier matrix are used; the others exist in the official files."""
    n = c.neck
    shapes: Shapes = {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, n // 2)}
    for i in range(4):
        shapes[f"prompt_encoder.point_embeddings.{i}.weight"] = (1, n)
    shapes["prompt_encoder.not_a_point_embed.weight"] = (1, n)
    shapes["prompt_encoder.no_mask_embed.weight"] = (1, n)
    for i, weight in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (n, 16, 1, 1))):
        shapes[f"prompt_encoder.mask_downscaling.{i}.weight"] = weight
        shapes[f"prompt_encoder.mask_downscaling.{i}.bias"] = weight[:1]
    _norm(shapes, "prompt_encoder.mask_downscaling.1", 4)
    _norm(shapes, "prompt_encoder.mask_downscaling.4", 16)
    return shapes


def _attention_shapes(shapes: Shapes, name: str, width: int, inner: int) -> None:
    for projection in ("q_proj", "k_proj", "v_proj"):
        _linear(shapes, f"{name}.{projection}", width, inner)
    _linear(shapes, f"{name}.out_proj", inner, width)


def decoder_shapes(c: SamConfig) -> Shapes:
    n, prefix = c.neck, "mask_decoder"
    shapes: Shapes = {f"{prefix}.iou_token.weight": (1, n), f"{prefix}.mask_tokens.weight": (c.classes, n)}
    for i in range(c.decoder_depth):
        layer = f"{prefix}.transformer.layers.{i}"
        _attention_shapes(shapes, f"{layer}.self_attn", n, n)
        _attention_shapes(shapes, f"{layer}.cross_attn_token_to_image", n, n // 2)
        _attention_shapes(shapes, f"{layer}.cross_attn_image_to_token", n, n // 2)
        _linear(shapes, f"{layer}.mlp.lin1", n, c.decoder_mlp)
        _linear(shapes, f"{layer}.mlp.lin2", c.decoder_mlp, n)
        for j in range(1, 5):
            _norm(shapes, f"{layer}.norm{j}", n)
    _attention_shapes(shapes, f"{prefix}.transformer.final_attn_token_to_image", n, n // 2)
    _norm(shapes, f"{prefix}.transformer.norm_final_attn", n)
    for i, weight in ((0, (n, n // 4, 2, 2)), (3, (n // 4, n // 8, 2, 2))):
        shapes[f"{prefix}.output_upscaling.{i}.weight"] = weight
        shapes[f"{prefix}.output_upscaling.{i}.bias"] = (weight[1],)
    _norm(shapes, f"{prefix}.output_upscaling.1", n // 4)
    mlps = [(f"{prefix}.output_hypernetworks_mlps.{k}", n, n // 8) for k in range(c.classes)]
    mlps.append((f"{prefix}.iou_prediction_head", c.iou_hidden, c.classes))
    for name, hidden, outputs in mlps:
        for j, (a, b) in enumerate(((n, hidden), (hidden, hidden), (hidden, outputs))):
            _linear(shapes, f"{name}.layers.{j}", a, b)
    return shapes


def parameter_shapes(c: SamConfig) -> Shapes:
    """All tensors of the state dict (the Fourier matrix is a buffer and is never trained)."""
    return encoder_shapes(c) | prompt_shapes(c) | decoder_shapes(c)


def lora_shapes(c: SamConfig, rank: int) -> Shapes:
    """Two pairs per block, query then value: w_a_000 (q of block 0), w_a_001 (v of block 0), ..."""
    shapes: Shapes = {}
    for i in range(2 * c.depth):
        shapes[f"w_a_{i:03d}"], shapes[f"w_b_{i:03d}"] = (rank, c.width), (c.width, rank)
    return shapes


def adapter_shapes(c: SamConfig, hidden: int) -> Shapes:
    """Bottleneck adapters of every block, with the names of Medical SAM Adapter."""
    shapes: Shapes = {}
    for i in range(c.depth):
        for place in ("Space_Adapter", "MLP_Adapter"):
            name = f"image_encoder.blocks.{i}.{place}"
            _linear(shapes, f"{name}.D_fc1", c.width, hidden)
            _linear(shapes, f"{name}.D_fc2", hidden, c.width)
    return shapes


def zero_gradient_names(c: SamConfig) -> list[str]:
    """Key biases: softmax does not see a constant added to all scores of a query.

    Of `attn.qkv.bias` the middle third (the key's) is meant, named here with the suffix `[key]`.
    """
    names = [f"image_encoder.blocks.{i}.attn.qkv.bias[key]" for i in range(c.depth)]
    return names + [n for n in decoder_shapes(c) if n.endswith("k_proj.bias")]


def unused_names(c: SamConfig) -> list[str]:
    """Tensors without a gradient: the IoU head and the prompts that are stripped."""
    used = "prompt_encoder.no_mask_embed.weight"
    names = [n for n in prompt_shapes(c) if n != used]
    return names + [n for n in decoder_shapes(c) if ".iou_prediction_head." in n]


def _relative_position(table: torch.Tensor, size: int) -> torch.Tensor:
    """Table [2s - 1, C] -> [size, size, C] by query minus key; resized linearly when its length differs."""
    length = 2 * size - 1
    if table.shape[0] != length:
        rows = table.t().unsqueeze(0)
        table = F.interpolate(rows, size=length, mode="linear").squeeze(0).t()
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index[None, :] + (size - 1)]


def _attention(p: Tensors, name: str, x: torch.Tensor, c: SamConfig, lora: list | None, sdpa: bool) -> torch.Tensor:
    """Self-attention over tokens [B, H, W, C] with decomposed relative positions."""
    b, h, w, width = x.shape
    qkv = F.linear(x, p[f"{name}.qkv.weight"], p[f"{name}.qkv.bias"])
    if lora is not None:
        a_q, b_q, a_v, b_v = lora
        qkv[..., :width] += F.linear(F.linear(x, a_q), b_q)
        qkv[..., -width:] += F.linear(F.linear(x, a_v), b_v)
    qkv = qkv.reshape(b, h * w, 3, c.heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.reshape(3, b * c.heads, h * w, -1).unbind(0)
    maps = q.reshape(b * c.heads, h, w, -1)
    # The relative-position terms use the unscaled query.
    rel_h = torch.einsum("bhwc,hkc->bhwk", maps, _relative_position(p[f"{name}.rel_pos_h"], h))
    rel_w = torch.einsum("bhwc,wkc->bhwk", maps, _relative_position(p[f"{name}.rel_pos_w"], w))
    if sdpa:
        # Contiguous terms make a contiguous sum: the bias is written once.
        bias = rel_h.contiguous()[..., :, None] + rel_w.contiguous()[..., None, :]
        bias = bias.view(b, c.heads, h * w, h * w)
        q, k, v = (t.view(b, c.heads, h * w, -1) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    else:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        scores = scores.view(-1, h, w, h, w) + rel_h[..., :, None] + rel_w[..., None, :]
        y = scores.view(-1, h * w, h * w).softmax(dim=-1) @ v
    y = y.view(b, c.heads, h, w, -1).permute(0, 2, 3, 1, 4).reshape(b, h, w, -1)
    return F.linear(y, p[f"{name}.proj.weight"], p[f"{name}.proj.bias"])


def _to_windows(x: torch.Tensor, size: int) -> torch.Tensor:
    """[B, H, W, C] -> [B * windows, size, size, C], zero-padded at the end of both axes."""
    b, h, w, width = x.shape
    x = F.pad(x, (0, 0, 0, -w % size, 0, -h % size))
    rows, cols = x.shape[1] // size, x.shape[2] // size
    x = x.view(b, rows, size, cols, size, width).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size, size, width)


def _from_windows(x: torch.Tensor, size: int, h: int, w: int) -> torch.Tensor:
    rows, cols = -(-h // size), -(-w // size)
    b = x.shape[0] // (rows * cols)
    x = x.view(b, rows, cols, size, size, -1).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(b, rows * size, cols * size, -1)[:, :h, :w].contiguous()


def _bottleneck(added: Tensors | None, name: str, x: torch.Tensor) -> torch.Tensor | float:
    """What the adapter `name` makes of x; 0 without it."""
    if added is None or f"{name}.D_fc1.weight" not in added:
        return 0.0
    x = F.gelu(F.linear(x, added[f"{name}.D_fc1.weight"], added[f"{name}.D_fc1.bias"]))
    return F.linear(x, added[f"{name}.D_fc2.weight"], added[f"{name}.D_fc2.bias"])


def block(
    p: Tensors, c: SamConfig, index: int, x: torch.Tensor, added: Tensors | None, sdpa: bool = False
) -> torch.Tensor:
    """One encoder block; x [B, H, W, C]. `added`: the tensors of LoRA or of adapters."""
    name = f"image_encoder.blocks.{index}"
    pair = None
    if added is not None and "w_a_000" in added:
        pair = [added[f"w_{m}_{i:03d}"] for i in (2 * index, 2 * index + 1) for m in "ab"]
    h, w = x.shape[1:3]
    y = F.layer_norm(x, (c.width,), p[f"{name}.norm1.weight"], p[f"{name}.norm1.bias"], 1e-6)
    if index not in c.global_blocks:
        # Padding comes after the norm, so padded tokens attend with k and v equal to their biases.
        y = _from_windows(_attention(p, f"{name}.attn", _to_windows(y, c.window), c, pair, sdpa), c.window, h, w)
    else:
        y = _attention(p, f"{name}.attn", y, c, pair, sdpa)
    x = x + y + _bottleneck(added, f"{name}.Space_Adapter", y)
    normed = F.layer_norm(x, (c.width,), p[f"{name}.norm2.weight"], p[f"{name}.norm2.bias"], 1e-6)
    y = F.gelu(F.linear(normed, p[f"{name}.mlp.lin1.weight"], p[f"{name}.mlp.lin1.bias"]))
    y = F.linear(y, p[f"{name}.mlp.lin2.weight"], p[f"{name}.mlp.lin2.bias"])
    return x + y + 0.5 * _bottleneck(added, f"{name}.MLP_Adapter", normed)


def _norm_2d(p: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    """Layer norm over the channels of [B, C, H, W], eps 1e-6."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(variance + 1e-6)
    return p[f"{name}.weight"][:, None, None] * x + p[f"{name}.bias"][:, None, None]


def encode(p: Tensors, c: SamConfig, canvas: torch.Tensor, added: Tensors | None, sdpa: bool = False) -> torch.Tensor:
    """Canvas [B, 1, S, S] -> embedding [B, neck, S/16, S/16]. `added` as in block()."""
    e = "image_encoder"
    weight, bias = p[f"{e}.patch_embed.proj.weight"], p[f"{e}.patch_embed.proj.bias"]
    x = F.conv2d(canvas.repeat(1, 3, 1, 1), weight, bias, stride=PATCH)
    x = x.permute(0, 2, 3, 1) + p[f"{e}.pos_embed"]
    for index in range(c.depth):
        x = block(p, c, index, x, added, sdpa)
    x = F.conv2d(x.permute(0, 3, 1, 2), p[f"{e}.neck.0.weight"])
    x = F.conv2d(_norm_2d(p, f"{e}.neck.1", x), p[f"{e}.neck.2.weight"], padding=1)
    return _norm_2d(p, f"{e}.neck.3", x)


def image_position(p: Tensors, grid: int) -> torch.Tensor:
    """Random-Fourier encoding [1, neck, grid, grid] of the pixel centres, (x, y) in [-1, 1]."""
    matrix = p["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    centre = 2 * ((torch.arange(grid, dtype=matrix.dtype, device=matrix.device) + 0.5) / grid) - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    angle = 2 * math.pi * (torch.stack([x, y], dim=-1) @ matrix)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).permute(2, 0, 1).unsqueeze(0)


def _cross_attention(
    p: Tensors, name: str, heads: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """Attention between token sets [B, T, C], no relative positions."""

    def project(x: torch.Tensor, which: str) -> torch.Tensor:
        x = F.linear(x, p[f"{name}.{which}.weight"], p[f"{name}.{which}.bias"])
        return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)

    q, k, v = project(q, "q_proj"), project(k, "k_proj"), project(v, "v_proj")
    y = ((q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v
    y = y.transpose(1, 2).flatten(2)
    return F.linear(y, p[f"{name}.out_proj.weight"], p[f"{name}.out_proj.bias"])


def _mlp(p: Tensors, name: str, x: torch.Tensor, layers: int = 3) -> torch.Tensor:
    for i in range(layers):
        x = F.linear(x, p[f"{name}.layers.{i}.weight"], p[f"{name}.layers.{i}.bias"])
        x = torch.relu(x) if i < layers - 1 else x
    return x


def _two_way(p: Tensors, c: SamConfig, tokens: torch.Tensor, keys: torch.Tensor, key_pe: torch.Tensor):
    """Two-way transformer; the tokens' own start values serve as their position encoding."""
    prefix, heads, queries = "mask_decoder.transformer", c.decoder_heads, tokens

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (c.neck,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)

    for i in range(c.decoder_depth):
        n = f"{prefix}.layers.{i}"
        if i == 0:
            # The first layer has neither position encoding nor residual in its self-attention.
            queries = _cross_attention(p, f"{n}.self_attn", heads, queries, queries, queries)
        else:
            q = queries + tokens
            queries = queries + _cross_attention(p, f"{n}.self_attn", heads, q, q, queries)
        queries = norm(f"{n}.norm1", queries)
        y = _cross_attention(p, f"{n}.cross_attn_token_to_image", heads, queries + tokens, keys + key_pe, keys)
        queries = norm(f"{n}.norm2", queries + y)
        y = torch.relu(F.linear(queries, p[f"{n}.mlp.lin1.weight"], p[f"{n}.mlp.lin1.bias"]))
        y = F.linear(y, p[f"{n}.mlp.lin2.weight"], p[f"{n}.mlp.lin2.bias"])
        queries = norm(f"{n}.norm3", queries + y)
        y = _cross_attention(p, f"{n}.cross_attn_image_to_token", heads, keys + key_pe, queries + tokens, queries)
        keys = norm(f"{n}.norm4", keys + y)
    name = f"{prefix}.final_attn_token_to_image"
    y = _cross_attention(p, name, heads, queries + tokens, keys + key_pe, keys)
    return norm(f"{prefix}.norm_final_attn", queries + y), keys


def decode(p: Tensors, c: SamConfig, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedding [B, neck, g, g] -> (all K mask logits [B, K, 4g, 4g], IoU predictions [B, K])."""
    d, b, grid = "mask_decoder", embedding.shape[0], embedding.shape[-1]
    tokens = torch.cat([p[f"{d}.iou_token.weight"], p[f"{d}.mask_tokens.weight"]]).unsqueeze(0).expand(b, -1, -1)
    source = embedding + p["prompt_encoder.no_mask_embed.weight"].reshape(1, -1, 1, 1)
    key_pe = image_position(p, grid).flatten(2).transpose(1, 2).expand(b, -1, -1)
    queries, keys = _two_way(p, c, tokens, source.flatten(2).transpose(1, 2), key_pe)
    x = keys.transpose(1, 2).reshape(b, c.neck, grid, grid)
    x = F.conv_transpose2d(x, p[f"{d}.output_upscaling.0.weight"], p[f"{d}.output_upscaling.0.bias"], stride=2)
    x = F.gelu(_norm_2d(p, f"{d}.output_upscaling.1", x))
    x = F.conv_transpose2d(x, p[f"{d}.output_upscaling.3.weight"], p[f"{d}.output_upscaling.3.bias"], stride=2)
    x = F.gelu(x)
    hyper = [_mlp(p, f"{d}.output_hypernetworks_mlps.{k}", queries[:, 1 + k]) for k in range(c.classes)]
    masks = (torch.stack(hyper, dim=1) @ x.flatten(2)).view(b, c.classes, *x.shape[2:])
    return masks, _mlp(p, f"{d}.iou_prediction_head", queries[:, 0])


def forward(
    p: Tensors, c: SamConfig, canvas: torch.Tensor, added: Tensors | None = None, sdpa: bool = False
) -> torch.Tensor:
    """Low-resolution logits [B, K, S/4, S/4] of a canvas [B, 1, S, S]."""
    return decode(p, c, encode(p, c, canvas, added, sdpa))[0]


def full_size(logits: torch.Tensor, canvas: int) -> torch.Tensor:
    """Bilinear, half-pixel centres, to [B, K, S, S]."""
    return F.interpolate(logits, size=(canvas, canvas), mode="bilinear", align_corners=False)
