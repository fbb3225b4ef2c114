"""Scores that other programs compute, for test/fixtures/metrics.json: medpy, surface-distance, SimpleITK and SciPy.

The masks are those of test/fixtures/reference/metrics, a pair that lies far apart and a pair of single voxels (built
here and in test/metrics/scores.test.ts). Needs medpy, surface-distance, SimpleITK and SciPy.
"""

import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import SimpleITK as sitk
import surface_distance
from medpy.metric import binary
from scipy import stats
from surface_distance import lookup_tables

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TOLERANCES = (0.5, 1.0, 2.0)


def scores(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> dict[str, object]:
    """Masks [x, y, z]."""
    surfaces = surface_distance.compute_surface_distances(reference, prediction, spacing)
    images = []
    for mask in (prediction, reference):
        image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
        image.SetSpacing(spacing)
        images.append(image)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    return {
        "Precision": binary.precision(prediction, reference),
        "Recall": binary.recall(prediction, reference),
        "HD": binary.hd(prediction, reference, voxelspacing=spacing),
        "ASSD": binary.assd(prediction, reference, voxelspacing=spacing),
        "VolumeError": binary.ravd(prediction, reference),
        "NSD": [surface_distance.compute_surface_dice_at_tolerance(surfaces, t) for t in TOLERANCES],
        "simpleitk": {"Dice": overlap.GetDiceCoefficient(), "Jaccard": overlap.GetJaccardCoefficient()},
    }


def pairs() -> list[tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    masks = safetensors.numpy.load_file(FIXTURES / "reference/metrics/masks.safetensors")
    expected = json.loads((FIXTURES / "reference/metrics/expected.json").read_text())
    result = [
        (masks[f"prediction_{i}"] == 1, masks[f"reference_{i}"] == 1, tuple(item["spacing"] or (1.0, 1.0, 1.0)))
        for i, item in enumerate(expected)
    ]
    far = [np.zeros((40, 36, 28), bool) for _ in range(2)]
    far[0][:4, :5, :3] = True
    far[1][34:, 30:, 25:] = True
    single = [np.zeros((9, 8, 7), bool) for _ in range(2)]
    single[0][4, 4, 3] = True
    single[1][6, 4, 3] = True
    return [*result, (*far, (0.7, 0.9, 3.0)), (*single, (1.0, 2.0, 3.0))]


def differences() -> dict[str, list[float]]:
    """Paired differences with, in turn: nothing special; ties; zeros; more pairs than are counted out; one pair."""
    random = np.random.default_rng(1)
    plain = [round(x, 6) for x in random.normal(0.3, 1, 12).tolist()]
    return {
        "plain": plain,
        "ties": [0.5, 0.5, -0.5, 1.0, 1.0, 2.0, -3.0, 0.25],
        "zeros": [0.0, 0.0, *plain],
        "many": [round(x, 6) for x in random.normal(0.2, 1, 80).tolist()],
        "clear": [round(abs(x) + 5, 6) for x in random.normal(0, 1, 90).tolist()],
        "one": [0.1],
        "all_better": [0.1, 0.2, 0.3, 0.4, 0.6],
    }


def wilcoxon(values: list[float]) -> float:
    """Exact for up to 50 pairs: by SciPy's table, or with ties and zeros by all choices of signs."""
    if len(values) > 50:
        return float(stats.wilcoxon(values, method="asymptotic").pvalue)
    kept = [v for v in values if v != 0]
    has_ties = len({abs(v) for v in kept}) < len(kept)
    method = stats.PermutationMethod(n_resamples=np.inf) if has_ties else "exact"
    return float(stats.wilcoxon(kept, method=method).pvalue)


def main() -> None:
    areas = {
        ",".join(map(str, s)): sorted(lookup_tables.create_table_neighbour_code_to_surface_area(s).tolist())
        for s in ((1.0, 1.0, 1.0), (0.7, 0.9, 3.0))
    }
    content = {
        "scores": [scores(*pair) for pair in pairs()],
        "tolerances": TOLERANCES,
        "sortedSurfaceAreas": areas,
        "wilcoxon": [
            {"name": name, "differences": d, "p": wilcoxon(d)} for name, d in differences().items()
        ],
    }
    (FIXTURES / "metrics.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
