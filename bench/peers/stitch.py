"""Stitching of volumes with their labels to canvases in PyTorch.

Case: {"patch": [H, W, D], "canvas": S, "volumes": N, "geometry": {"rows", "cols", "pad_row", "pad_col", "pad_depth",
"margin_row", "margin_col"}} as in the fixture stitch/geometry.json. Image voxel = running index from 1 in (H, W, D)
order (f32, exact below 2^24; the volume's number is not in it), label = running index from 0 modulo 250 (u8).

- default: what the paper's code does, in spirit: pad, permute, reshape, copy; volumes are [N, H, W, D] with D fastest
- strided-copy: canvases are allocated and filled once, a run copies the tiles through a strided view; the volumes lie
  in memory as ours do, [N, D, W, H] with H fastest, so a tile row is contiguous on both sides

Check file: `image`, `label` [S, S] of the first volume; result: their sums.
"""

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


class StridedCopy:
    """Tiles of [N, D, W, H] volumes into a canvas that stays allocated; the gaps keep their value."""

    def __init__(self, volume: torch.Tensor, g: dict, size: int, fill: int) -> None:
        self.volume, self.g = volume, g
        n, depth, rows_in, cols_in = volume.shape
        h, w = rows_in + 2 * g["pad_row"], cols_in + 2 * g["pad_col"]
        rows, cols = g["rows"], g["cols"]
        top, left = g["margin_row"], g["margin_col"]
        grid_top, grid_left = max(top, 0), max(left, 0)
        height, width = max(size, rows * h), max(size, cols * w)
        buffer = torch.full((n, height, width), fill, dtype=volume.dtype)
        grid = buffer[:, grid_top : grid_top + rows * h, grid_left : grid_left + cols * w]
        tiles = grid.unflatten(1, (rows, h)).unflatten(3, (cols, w)).permute(0, 1, 3, 2, 4)
        inner = tiles[:, :, :, g["pad_row"] : g["pad_row"] + rows_in, g["pad_col"] : g["pad_col"] + cols_in]
        crop_top, crop_left = max(-top, 0), max(-left, 0)
        self.canvas = buffer[:, crop_top : crop_top + size, crop_left : crop_left + size]
        self.pieces = list(self._pieces(inner, depth, cols))

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
        for destination, first, count in self.pieces:
            destination.copy_(self.volume[:, first : first + count].view(destination.shape))
        return self.canvas


def main() -> None:
    request = peer.parse(__doc__, ("strided-copy",))
    c, g = request.case, request.case["geometry"]
    h, w, d = c["patch"]
    index = torch.arange(h * w * d).reshape(1, h, w, d).expand(c["volumes"], -1, -1, -1)
    image, label = (index + 1).float().contiguous(), (index % 250).to(torch.uint8).contiguous()
    if "strided-copy" in request.options:
        copies = [
            StridedCopy(volume.permute(0, 3, 2, 1).contiguous(), g, c["canvas"], fill)
            for volume, fill in ((image, 0), (label, 255))
        ]
    else:
        copies = [
            partial(pad_and_permute, volume, g, c["canvas"], fill) for volume, fill in ((image, 0), (label, 255))
        ]

    def run() -> list[torch.Tensor]:
        return [copy() for copy in copies]

    first = [x[0].numpy() for x in run()]
    peer.write_check(request, {"image": first[0], "label": first[1]})
    peer.measure(request, run, [float(x.sum(dtype=np.float64)) for x in first])


if __name__ == "__main__":
    main()
