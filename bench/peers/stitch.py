"""Stitching of volumes with their labels to canvases in PyTorch, or back.

Case: {"patch": [H, W, D], "canvas": S, "volumes": N, "direction": "stitch" | "unstitch", "geometry": {"rows", "cols",
"pad_row", "pad_col", "pad_depth", "margin_row", "margin_col"}} as in the fixture stitch/geometry.json. Image voxel =
running index from 1 in (H, W, D) order (f32, exact below 2^24; the volume's number is not in it), label = running index
from 0 modulo 250 (u8).

- default: what the paper's code does, in spirit: pad (back: crop), permute, reshape, copy; volumes are [N, H, W, D]
  with D fastest
- strided-copy: results are allocated, and canvases filled, once; a run copies the tiles through a strided view; the
  volumes lie in memory as ours do, [N, D, W, H] with H fastest, so a tile row is contiguous on both sides
- copy: no stitching; as many bytes as the result has are copied from one contiguous tensor to another: the machine's
  copy bandwidth

Check file: `image`, `label` of the first volume, [S, S] or back [H, W, D]; result: their sums.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

import peer


def pad_and_permute(volume: torch.Tensor, g: dict, size: int, fill: int) -> torch.Tensor:
    """Volumes [N, H, W, D] -> canvases [N, S, S]."""
    n, _, _, depth = volume.shape
    rows, cols = g["rows"], g["cols"]
    back = rows * cols - depth - g["pad_depth"]
    x = volume.permute(0, 3, 2, 1)
    x = F.pad(x, (g["pad_col"], g["pad_col"], g["pad_row"], g["pad_row"], g["pad_depth"], back), value=fill)
    h, w = x.shape[2:]
    x = x.reshape(n, rows, cols, h, w).permute(0, 1, 3, 2, 4).reshape(n, rows * h, cols * w)
    top, left = g["margin_row"], g["margin_col"]
    # A negative margin crops.
    return F.pad(x, (left, size - cols * w - left, top, size - rows * h - top), value=fill).contiguous()


def crop_and_permute(canvas: torch.Tensor, g: dict, patch: list[int]) -> torch.Tensor:
    """Canvases [N, S, S] -> volumes [N, H, W, D]."""
    columns_in, rows_in, depth = patch
    n, size, _ = canvas.shape
    rows, cols, top, left = g["rows"], g["cols"], g["margin_row"], g["margin_col"]
    h, w = rows_in + 2 * g["pad_row"], columns_in + 2 * g["pad_col"]
    # A cropped margin comes back as padding, which the next crop takes away.
    x = F.pad(canvas, (-left, cols * w + left - size, -top, rows * h + top - size))
    x = x.reshape(n, rows, h, cols, w).permute(0, 1, 3, 2, 4).reshape(n, rows * cols, h, w)
    y, x_first, z = g["pad_row"], g["pad_col"], g["pad_depth"]
    x = x[:, z : z + depth, y : y + rows_in, x_first : x_first + columns_in]
    return x.permute(0, 3, 2, 1).contiguous()


class StridedCopy:
    """Tiles of [N, D, W, H] volumes into a canvas that stays allocated; the gaps keep their value. `back`: reverse."""

    def __init__(self, volume: torch.Tensor, g: dict, size: int, fill: int, back: bool = False) -> None:
        self.volume, self.g, self.back = volume, g, False
        n, depth, rows_in, cols_in = volume.shape
        h, w = rows_in + 2 * g["pad_row"], cols_in + 2 * g["pad_col"]
        rows, cols = g["rows"], g["cols"]
        top, left = g["margin_row"], g["margin_col"]
        grid_top, grid_left = max(top, 0), max(left, 0)
        height, width = max(size, rows * h), max(size, cols * w)
        buffer = torch.full((n, height, width), fill, dtype=volume.dtype, device=volume.device)
        grid = buffer[:, grid_top : grid_top + rows * h, grid_left : grid_left + cols * w]
        tiles = grid.unflatten(1, (rows, h)).unflatten(3, (cols, w)).permute(0, 1, 3, 2, 4)
        inner = tiles[:, :, :, g["pad_row"] : g["pad_row"] + rows_in, g["pad_col"] : g["pad_col"] + cols_in]
        crop_top, crop_left = max(-top, 0), max(-left, 0)
        self.canvas = buffer[:, crop_top : crop_top + size, crop_left : crop_left + size]
        self.pieces = list(self._pieces(inner, depth, cols))
        if back:
            self()  # makes the canvas
            self.volume, self.back = torch.zeros_like(volume), True

    def _pieces(self, inner: torch.Tensor, depth: int, cols: int):
        """(destination, first slice, slices): one piece per part of the grid that is a rectangle of tiles."""
        slot, done = self.g["pad_depth"], 0
        while done < depth:
            row, col = divmod(slot, cols)
            if col or depth - done < cols:
                count = min(cols - col, depth - done)
                yield inner[:, row, col : col + count], done, count
            else:
                whole = (depth - done) // cols
                count = whole * cols
                yield inner[:, row : row + whole], done, count
            slot, done = slot + count, done + count

    def __call__(self) -> torch.Tensor:
        """The canvases, or back the volumes as [N, H, W, D]."""
        for tiles, first, count in self.pieces:
            slices = self.volume[:, first : first + count].view(tiles.shape)
            if self.back:
                slices.copy_(tiles)
            else:
                tiles.copy_(slices)
        return self.volume.permute(0, 3, 2, 1) if self.back else self.canvas


def workload(options: frozenset[str], case: dict, volume: torch.Tensor, fill: int) -> Callable[[], torch.Tensor]:
    """What a run does with volumes [N, H, W, D]."""
    g, size, back = case["geometry"], case["canvas"], case["direction"] == "unstitch"
    if "strided-copy" in options:
        return StridedCopy(volume.permute(0, 3, 2, 1).contiguous(), g, size, fill, back)
    canvas = pad_and_permute(volume, g, size, fill)
    if "copy" in options:
        source = volume if back else canvas
        return partial(torch.empty_like(source).copy_, source)
    if back:
        return partial(crop_and_permute, canvas, g, case["patch"])
    return partial(pad_and_permute, volume, g, size, fill)


def main() -> None:
    request = peer.parse(__doc__, ("strided-copy", "copy"), devices=peer.DEVICES)
    c = request.case
    h, w, d = c["patch"]
    index = torch.arange(h * w * d, device=request.device).reshape(1, h, w, d).expand(c["volumes"], -1, -1, -1)
    image, label = (index + 1).float().contiguous(), (index % 250).to(torch.uint8).contiguous()
    runs = [workload(request.options, c, volume, fill) for volume, fill in ((image, 0), (label, 254))]

    def run() -> list[torch.Tensor]:
        return [copy() for copy in runs]

    first = [x[0].cpu().numpy() for x in run()]
    peer.write_check(request, {"image": first[0], "label": first[1]})
    peer.measure(request, run, [float(x.sum(dtype=np.float64)) for x in first])


if __name__ == "__main__":
    main()
