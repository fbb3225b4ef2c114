"""Scores of one class with medpy: Dice, Jaccard, HD95 and ASD; with the setting `all` every score that we compute, surface
Dice by surface-distance.

Case: {"shape": [H, W, D], "spacing": [h, w, d] in mm or null}. The reference is an ellipsoid in the middle with radii
shape // 4; the prediction is moved by (3, -2, 1), its radii are 2 larger, and it has false voxels where the uniform of
stream `input/speckle` is below 2e-5. A voxel i of an axis of size s, moved by m, lies at a = 2 i - (s - 1) - 2 m; it is
inside when the sum over axes of (a / (2 r))^2 is at most 1, computed with whole numbers.
Check file and result: Dice, Jaccard, HD95, ASD, precision, recall, HD, ASSD, relative volume error, NSD at 1 mm.
"""

import numpy as np
import surface_distance
from medpy.metric import binary

import peer
import philox


def ellipsoid(shape: tuple[int, ...], move: tuple[int, ...], grow: int) -> np.ndarray:
    """Bool [H, W, D]."""
    radii = [s // 4 + grow for s in shape]
    product = int(np.prod([r * r for r in radii], dtype=np.int64))
    total = np.zeros(shape, np.int64)
    for axis, (size, m, r) in enumerate(zip(shape, move, radii)):
        a = 2 * np.arange(size, dtype=np.int64) - (size - 1) - 2 * m
        total += (a * a * (product // (r * r))).reshape([-1 if k == axis else 1 for k in range(3)])
    return total <= 4 * product


def main() -> None:
    request = peer.parse(__doc__, ("all",), "medpy")
    shape, spacing = tuple(request.case["shape"]), request.case.get("spacing")
    reference = ellipsoid(shape, (0, 0, 0), 0)
    speckle = philox.uniform("input/speckle", shape) < 2e-5
    prediction = ellipsoid(shape, (3, -2, 1), 2) | speckle

    mm = {"voxelspacing": spacing}

    def usual() -> list[float]:
        return [
            float(binary.dc(prediction, reference)),
            float(binary.jc(prediction, reference)),
            float(binary.hd95(prediction, reference, **mm)),
            float(binary.asd(prediction, reference, **mm)),
        ]

    def every() -> list[float]:
        surfaces = surface_distance.compute_surface_distances(reference, prediction, spacing or (1, 1, 1))
        return [
            *usual(),
            float(binary.precision(prediction, reference)),
            float(binary.recall(prediction, reference)),
            float(binary.hd(prediction, reference, **mm)),
            float(binary.assd(prediction, reference, **mm)),
            float(binary.ravd(prediction, reference)),
            float(surface_distance.compute_surface_dice_at_tolerance(surfaces, 1)),
        ]

    result = every()
    peer.write_check(request, {"metrics": np.array(result)})
    peer.measure(request, every if "all" in request.options else usual, result)


if __name__ == "__main__":
    main()
