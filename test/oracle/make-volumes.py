"""Writes test/fixtures/volumes: NRRD, MetaImage and NumPy files, and truth.json, what SimpleITK (NumPy) reads from them
in RAS+ orientation (nibabel's as_closest_canonical).

Made with SimpleITK 2.5.7, numpy 2, nibabel 5.4.2; run again only to add a file: python test/oracle/make-volumes.py
"""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

FOLDER = Path(__file__).parents[1] / "fixtures" / "volumes"
FOLDER.mkdir(exist_ok=True)
rng = np.random.default_rng(9)
turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
turn *= np.sign(np.linalg.det(turn))
LPS_TO_RAS = np.diag([-1, -1, 1, 1])
truth = {}


def values(dtype):
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=(4, 3, 2)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=(4, 3, 2), dtype=dtype, endpoint=True)


def remember(name, array, affine):
    """array: [x, y, z]"""
    image = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.float64), affine))
    truth[name] = {
        "shape": list(image.shape),
        "spacing": [float(size) for size in nib.affines.voxel_sizes(image.affine)],
        "affine": image.affine.tolist(),
        "voxels": [float(v) for v in image.get_fdata().astype(np.float32).flatten("F")],
    }


def remember_as_read(name):
    image = sitk.ReadImage(str(FOLDER / name))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    remember(name, sitk.GetArrayFromImage(image).T, LPS_TO_RAS @ affine)


def write_itk(name, dtype, pack):
    image = sitk.GetImageFromArray(values(dtype))
    image.SetDirection(turn.flatten().tolist())
    image.SetSpacing([0.9, 1.1, 2.5])
    image.SetOrigin([-31.5, 12.25, 77])
    sitk.WriteImage(image, str(FOLDER / name), pack)
    remember_as_read(name)


for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
    write_itk(f"{dtype}.nrrd", dtype, dtype in ("i2", "f4"))
    write_itk(f"{dtype}.mha", dtype, dtype in ("u2", "f8"))
write_itk("two.mhd", "i2", False)
write_itk("two_packed.mhd", "u1", True)
write_itk("pair.nhdr", "i2", False)
write_itk("pair_packed.nhdr", "i2", True)

small = np.arange(24, dtype="i2").reshape(4, 3, 2)


def write_nrrd(name, fields, data):
    text = "NRRD0004\n# by hand\ntype: short\ndimension: 3\nsizes: 2 3 4\n" + "".join(f"{line}\n" for line in fields)
    (FOLDER / name).write_bytes(text.encode() + b"\n" + data)
    remember_as_read(name)


big = small.astype(">i2").tobytes()
little = small.tobytes()
ras = "space: right-anterior-superior"
directions = "space directions: (0,0.9,0) (0,0,-1.1) (2.5,0,0)"
origin = "space origin: (10,20.5,-3)"
write_nrrd("hand_ras_big.nrrd", [ras, directions, origin, "encoding: raw", "endian: big", "key:=value: other"], big)
write_nrrd("hand_las.nrrd", ["space: LAS", directions, origin, "encoding: gz", "endian: little"], gzip.compress(little, mtime=0))
write_nrrd("hand_spacings.nrrd", ["spacings: 0.5 1 2", "encoding: raw", "endian: little"], little)
write_nrrd("hand_crlf.nrrd", [f"{ras}\r", f"{directions}\r", f"{origin}\r", "encoding: raw\r", "endian: little\r"], little)
head = "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
(FOLDER / "hand_big.mha").write_bytes(
    f"{head}ElementByteOrderMSB = True\nPosition = 1 2 3\nElementSpacing = 0.5 1 2\nDimSize = 2 3 4\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode() + big
)
remember_as_read("hand_big.mha")
(FOLDER / "hand_tail.raw").write_bytes(b"head of any length" + little)
(FOLDER / "hand_tail.mhd").write_text(
    f"{head}ElementSpacing = 0.5 1 2\nHeaderSize = -1\nDimSize = 2 3 4\nElementType = MET_SHORT\n"
    "ElementDataFile = hand_tail.raw\n"
)
remember_as_read("hand_tail.mhd")

# NumPy: axes are (x, y, z); without an affine the axes stay as they are.
array = values("f4")
affine = np.array([[0, 0, -2.5, 40], [-0.9, 0, 0, 8], [0, -1.1, 0, 3], [0, 0, 0, 1]])
label = (np.abs(array) > 0.5).astype("u1")
np.savez(FOLDER / "c_order.npz", image=array, label=label, affine=affine)
np.savez_compressed(FOLDER / "fortran_big.npz", image=np.asfortranarray(array.astype(">f8")), label=label, affine=affine)
np.savez_compressed(FOLDER / "plain.npz", values("i8"))
np.savez(FOLDER / "spacing.npz", image=array, spacing=np.array([0.5, 1, 2]))
np.savez(FOLDER / "pickled.npz", image=np.array([{"runs": "code"}], dtype=object))
for name in ("c_order.npz", "fortran_big.npz"):
    remember(name, np.load(FOLDER / name)["image"], affine)
for name, key in (("plain.npz", "arr_0"), ("spacing.npz", "image")):
    remember(name, np.load(FOLDER / name)[key], np.diag([0.5, 1, 2, 1]))
    truth[name]["affine"] = None
truth["plain.npz"]["spacing"] = None
(FOLDER / "truth.json").write_text(json.dumps(truth, indent=0) + "\n")
