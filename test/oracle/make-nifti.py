"""Writes the NIfTI files of test/fixtures/nifti; truth.json, what nibabel reads from them (as_closest_canonical, the
orientation that the project has in memory); and orientations.json, nibabel's orientation of many affines.

Made with nibabel 5.4.2 and numpy 2; run again only to add a file: python test/oracle/make-nifti.py
"""

import gzip
import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np

FOLDER = Path(__file__).parents[1] / "fixtures" / "nifti"
rng = np.random.default_rng(20)
rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation @ np.diag([0.9, 1.1, 2.5])
OBLIQUE[:3, 3] = [-31.5, 12.25, 77]
truth = {}


def write(
    name, values, endian="<", slope=0.0, inter=0.0, pack=lambda raw: raw, edit=None, sform=None, qform=None, version=1
):
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=endian)
    header.set_data_dtype(values.dtype.newbyteorder(endian))
    header.set_data_shape(values.shape)
    header["pixdim"][1:4] = [0.9, 1.1, 2.5]
    if qform is not None:
        header.set_qform(*qform)
    if sform is not None:
        header.set_sform(*sform)
    header["magic"], header["vox_offset"], header["xyzt_units"] = (b"n+1", 352, 2) if version == 1 else (b"n+2", 544, 2)
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["cal_max"], header["cal_min"], header["intent_name"] = 900, -5, b"old"
    if edit:
        edit(header)
    raw = header.binaryblock + bytes(4) + values.astype(values.dtype.newbyteorder(endian)).tobytes("F")
    path = FOLDER / name
    path.write_bytes(pack(raw))
    image = nib.as_closest_canonical(nib.load(path))
    data = image.get_fdata().astype(np.float32)
    truth[name] = {
        "shape": list(data.shape[:3]),
        "spacing": [float(z) for z in nib.affines.voxel_sizes(image.affine)],
        "affine": image.affine.tolist(),
        "voxels": [float(v) for v in data.flatten("F")],
    }


def integers(dtype, shape=(2, 3, 4)):
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
    values.flat[:2] = [info.min, info.max]
    return values


for endian, word in (("<", "little"), (">", "big")):
    for dtype in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"):
        scale = {"slope": 0.37, "inter": -12.5} if dtype in ("i2", "u8") else {}
        write(f"{dtype}_{word}.nii", integers(np.dtype(dtype)), endian, sform=(OBLIQUE, 1), **scale)
    for dtype in ("f4", "f8"):
        write(f"{dtype}_{word}.nii", rng.normal(size=(3, 1, 5)).astype(dtype), endian, qform=(OBLIQUE, 1))

small = np.arange(24, dtype="i2").reshape((2, 3, 4), order="F")


def slightly_too_long(header):
    header["quatern_b"] = header["quatern_c"] = np.float32(0.7071069)
    header["quatern_d"] = 0


def trailing_ones(header):
    header["dim"][:] = [5, 2, 3, 4, 1, 1, 0, 0]


write("both_forms_q_higher.nii", small, sform=(OBLIQUE, 1), qform=(np.diag([0.9, 1.1, 2.5, 1]), 2))
write("no_form.nii", small)
write("quaternion_too_long.nii", small, qform=(OBLIQUE, 1), edit=slightly_too_long)
write("qfac_minus.nii", small, qform=(OBLIQUE @ np.diag([1, 1, -1, 1]), 1))
write("trailing_ones.nii", small, sform=(OBLIQUE, 1), edit=trailing_ones)
members = lambda raw: gzip.compress(raw[:300], mtime=0) + gzip.compress(raw[300:375], mtime=0) + gzip.compress(raw[375:], mtime=0)
write("three_members.nii.gz", small, sform=(OBLIQUE, 1), pack=members)

SHEARED = OBLIQUE @ np.array([[1, 0.2, 0, 0], [0, 1, -0.1, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
TURNED = np.array([[0, 0, -2.5, 40], [-0.9, 0, 0, 8], [0, -1.1, 0, 3], [0, 0, 0, 1.0]])


def other_pixdim(header):
    header["pixdim"][1:4] = [1, 1, 1]


write("sheared.nii", small, sform=(SHEARED, 1))
write("turned.nii", small, sform=(TURNED, 1), qform=(TURNED, 1))
write("pixdim_disagrees.nii", small, sform=(TURNED, 1), edit=other_pixdim)
for endian, word in (("<", "little"), (">", "big")):
    write(f"nifti2_{word}.nii", integers(np.dtype("i2")), endian, 0.37, -12.5, sform=(TURNED, 1), version=2)
    write(f"nifti2_i8_{word}.nii", integers(np.dtype("i8")), endian, sform=(SHEARED, 1), version=2)
    write(f"nifti2_qform_{word}.nii.gz", small, endian, qform=(OBLIQUE, 1), version=2, pack=lambda raw: gzip.compress(raw, mtime=0))
(FOLDER / "truth.json").write_text(json.dumps(truth, indent=0) + "\n")


def signed_permutations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            for column, (row, sign) in enumerate(zip(axes, signs)):
                matrix[row, column] = sign
            yield matrix


def record(matrix):
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = rng.uniform(-90, 90, 3)
    affine = affine.astype(np.float32).astype(np.float64)
    image = nib.as_closest_canonical(nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), affine))
    orientation = nib.io_orientation(affine)
    axes, flips = [0, 0, 0], [False, False, False]
    for file_axis, (axis, sign) in enumerate(orientation):
        axes[int(axis)], flips[int(axis)] = file_axis, bool(sign < 0)
    letters = "".join(nib.aff2axcodes(affine))
    return {"affine": affine.tolist(), "axes": axes, "flips": flips, "letters": letters, "memory": image.affine.tolist()}


spacing = np.diag([0.9, 1.1, 2.5])
records = []
for matrix in signed_permutations():
    records.append(record(matrix @ spacing))
    small_turn, _ = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    records.append(record(small_turn * np.sign(np.diag(small_turn)) @ matrix @ spacing))
for _ in range(40):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    shear = np.eye(3) + np.triu(0.3 * rng.normal(size=(3, 3)), 1)
    records += [record(turn @ spacing), record(turn @ spacing @ shear)]
(FOLDER / "orientations.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in records) + "\n]\n")
