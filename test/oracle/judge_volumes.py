"""Reads what the project has written (write-volumes.ts) with SimpleITK and nibabel, compares grid and voxels with the
truth of the fixtures, and writes the hashes of the judged files to test/fixtures/volumes/judged.json.

    node dist/test/oracle/write-volumes.js FOLDER && python test/oracle/judge_volumes.py FOLDER
"""

import gzip
import hashlib
import json
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

WRITTEN = Path(sys.argv[1])
FIXTURES = Path(__file__).parents[1] / "fixtures" / "volumes"
LPS_TO_RAS = np.diag([-1, -1, 1, 1])
truth = json.loads((FIXTURES / "truth.json").read_text())


def read_itk(path):
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, LPS_TO_RAS @ affine


def content(path):
    raw = path.read_bytes()
    if path.suffix != ".mha":
        end = raw.index(b"\n\n") + 2 if path.suffix == ".nrrd" else 0
        raw = raw[:end] + gzip.decompress(raw[end:])
    return re.sub(rb"sfr \d+\.\d+\.\d+", b"", raw, count=1)


judged = {}
for path in sorted(WRITTEN.iterdir()):
    stem = path.name.split(".")[0]
    name = next(key for key in truth if key.replace(".", "_") == stem)
    expected = truth[name]
    readings = [read_itk(path)]
    if path.name.endswith(".nii.gz"):
        image = nib.load(path)
        readings.append((np.asarray(image.dataobj), image.affine))
    # nibabel has seen no place; then both programs take the axes as they come, in their own spaces.
    placed = expected["affine"] is not None
    for array, affine in readings:
        image = nib.Nifti1Image(array.astype(np.float64), affine)
        image = nib.as_closest_canonical(image) if placed else image
        if placed:
            # Headers of NIfTI hold float32: entries up to 77.
            assert np.allclose(image.affine, expected["affine"], rtol=0, atol=1e-5), (path.name, image.affine)
        assert np.allclose(nib.affines.voxel_sizes(image.affine), expected["spacing"], rtol=1e-6), path.name
        found = image.get_fdata().flatten("F")
        position = np.arange(found.size) % 7
        wanted = {".nrrd": position, ".mha": 100 * position}.get(path.suffix, np.array(expected["voxels"]))
        assert np.array_equal(found, wanted), path.name
    judged[path.name] = hashlib.sha256(content(path)).hexdigest()
    print("right:", path.name)
(FIXTURES / "judged.json").write_text(json.dumps(judged, indent=0) + "\n")
