"""Monotone Bezier intensity maps of all slices of a patch in NumPy, as the paper's code computes them.

Case: {"patch": [H, W, D]}. The volume is [D, W, H], voxel i (H fastest) = ((i + 1) * 0.6180339887498949) mod 1 as f32;
the inner control points of slice z are the values 4 z .. 4 z + 3 = ((k + 1) * 0.7548776662466927) mod 1 as f32, in the
order x1, y1, x2, y2; the outer ones are (0, 0) and (1, 1). A curve is sampled at 100000 parameters, x and y samples are
sorted separately, and the slice is mapped by np.interp.
Check file: `mapped` (sampled); result: its first four entries.
"""

import numpy as np
import torch

import peer

SAMPLES = 100000


def bezier_curve(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the curve of points [4, 2]: xs, ys."""
    t = np.linspace(0.0, 1.0, SAMPLES)
    binomials = (1, 3, 3, 1)
    basis = np.array([n * t**i * (1 - t) ** (3 - i) for i, n in enumerate(binomials)])
    return points[:, 0] @ basis, points[:, 1] @ basis


def map_slice(x: np.ndarray, inner: np.ndarray) -> np.ndarray:
    points = np.array([[0, 0], inner[:2], inner[2:], [1, 1]], np.float64)
    xs, ys = bezier_curve(points)
    return np.interp(x, np.sort(xs), np.sort(ys)).astype(np.float32)


def fractions(count: int, step: float) -> np.ndarray:
    return ((np.arange(count) + 1) * step % 1).astype(np.float32)


def main() -> None:
    request = peer.parse(__doc__, (), "numpy")
    h, w, d = request.case["patch"]
    volume = fractions(h * w * d, 0.6180339887498949).reshape(d, w, h)
    inner = fractions(4 * d, 0.7548776662466927).reshape(d, 4)

    def run() -> np.ndarray:
        return np.stack([map_slice(volume[z], inner[z]) for z in range(d)])

    mapped = peer.sampled(torch.from_numpy(run()))
    peer.write_check(request, {"mapped": mapped})
    peer.measure(request, run, mapped[:4].tolist())


if __name__ == "__main__":
    main()
