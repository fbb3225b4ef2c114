"""Scores two folders of label files by medpy, surface-distance and SimpleITK, for test/metrics/judges.slow.ts.

Usage: judge_scores.py PREDICTIONS REFERENCES. Prints JSON: by case and label the scores of a class that is in both.
Needs medpy, surface-distance, SimpleITK.
"""

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import surface_distance
from medpy.metric import binary

TOLERANCE = 1.0


def scores(prediction: sitk.Image, reference: sitk.Image, label: int) -> dict[str, float]:
    spacing = reference.GetSpacing()[::-1]
    p, r = (sitk.GetArrayFromImage(image) == label for image in (prediction, reference))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(prediction == label, reference == label)
    surfaces = surface_distance.compute_surface_distances(r, p, spacing)
    return {
        "Dice": overlap.GetDiceCoefficient(),
        "Jaccard": overlap.GetJaccardCoefficient(),
        "HD95": binary.hd95(p, r, voxelspacing=spacing),
        "ASD": binary.asd(p, r, voxelspacing=spacing),
        "NSD": surface_distance.compute_surface_dice_at_tolerance(surfaces, TOLERANCE),
    }


def main() -> None:
    predictions, references = map(Path, sys.argv[1:])
    result = {}
    for path in sorted(references.iterdir()):
        images = [sitk.ReadImage(str(folder / path.name)) for folder in (predictions, references)]
        labels = [int(k) for k in np.unique(sitk.GetArrayFromImage(images[1])) if k > 0]
        result[path.name.split(".")[0]] = {str(k): scores(*images, k) for k in labels}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
