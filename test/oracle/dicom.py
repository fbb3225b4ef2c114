"""DICOM by other programs: pydicom writes the series of test/fixtures/dicom, SimpleITK says where they lie, and
SimpleITK, pydicom and highdicom judge what the project makes of them (test/dicom/dicom.slow.ts).

    python test/oracle/dicom.py fixtures test/fixtures/dicom
    python test/oracle/dicom.py volume test/fixtures/dicom/oblique scan.nii.gz
    python test/oracle/dicom.py segmentation test/fixtures/dicom/oblique seg.dcm labels.nii.gz

Needs pydicom 3, SimpleITK 2.5 and highdicom 0.28.
"""

import json
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 11, 6
OBLIQUE = (np.array([0.96, 0.28, 0.0]), np.array([-0.168, 0.576, 0.8]))
SAGITTAL = (np.array([0.0, 1, 0]), np.array([0.0, 0, -1]))


def write_slice(path, series, index, count, row, column, position, stored, **changes):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
    meta.TransferSyntaxUID = changes.pop("syntax", ExplicitVRLittleEndian)
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^A", "P1", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=[series])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    ds.Modality, ds.StudyDate, ds.StudyTime, ds.StudyID = "CT", "20260102", "120000", "7"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.SeriesNumber = "", "", 2
    # Numbers and names run against the places.
    ds.InstanceNumber = count - index
    ds.Rows, ds.Columns, ds.PixelSpacing, ds.SliceThickness = ROWS, COLUMNS, [0.8, 0.7], 2.5
    ds.ImageOrientationPatient = [float(x) for x in (*row, *column)]
    ds.ImagePositionPatient = [float(f"{x:.6f}") for x in position]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    ds.PixelData = stored.tobytes()
    for name, value in changes.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)
    return stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def write_series(root, name, names, row, column, low, high, each, **changes):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    step = 2.5 * np.cross(row, column)
    values = []
    for i, file in enumerate(names):
        stored = rng.integers(low, high, size=(ROWS, COLUMNS)).astype("<i2" if low < 0 else "<u2")
        position = np.array([-10.0, 5, 30]) + i * step
        path = folder / f"{file}.dcm"
        values.append(write_slice(path, name, i, len(names), row, column, position, stored, **changes, **each(i)))
    image = series_image(folder)
    expected = {
        "size": image.GetSize(),
        "origin": image.GetOrigin(),
        "spacing": image.GetSpacing(),
        "direction": image.GetDirection(),
        # ITK takes one slope for all slices; these are the values that were written.
        "values": np.stack(values).ravel().tolist(),
    }
    (root / f"{name}.json").write_text(json.dumps(expected) + "\n")


def write_fixtures(root):
    signed = dict(BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=1)
    slopes = lambda i: dict(RescaleIntercept=-1000 + i, RescaleSlope=0.5 * (1 + i))
    write_series(root, "oblique", "caebd", *OBLIQUE, -2048, 2048, slopes, **signed)
    unsigned = dict(BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0, syntax=ImplicitVRLittleEndian)
    write_series(root, "implicit-unsigned", "bca", *SAGITTAL, 0, 65536, lambda i: {}, **unsigned)


def series_image(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def same_place(a, b):
    assert a.GetSize() == b.GetSize(), (a.GetSize(), b.GetSize())
    for get in ("GetOrigin", "GetSpacing", "GetDirection"):
        # NIfTI keeps float32 of places up to 50 mm, DICOM six decimals.
        assert np.allclose(getattr(a, get)(), getattr(b, get)(), rtol=0, atol=2e-5), get


def judge_volume(folder, path):
    image = sitk.ReadImage(str(path))
    same_place(series_image(folder), image)
    values = json.loads(folder.with_suffix(".json").read_text())["values"]
    assert np.array_equal(sitk.GetArrayFromImage(image).ravel(), np.array(values, "f4")), "values"
    print("right")


def judge_segmentation(folder, path, labels):
    seg = hd.seg.segread(path)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    same_place(series_image(folder), sitk.ReadImage(str(labels)))
    described = {int(d.SegmentNumber): d for d in seg.SegmentSequence}
    by_place = sorted((pydicom.dcmread(p) for p in folder.glob("*.dcm")), key=lambda ds: -ds.InstanceNumber)
    found = seg.get_pixels_by_source_instance(
        [ds.SOPInstanceUID for ds in by_place],
        segment_numbers=list(described),
        assert_missing_frames_are_empty=True,
        ignore_spatial_locations=True,
    )
    for channel, description in enumerate(described.values()):
        label = int(description.SegmentDescription.split()[-1])
        assert np.array_equal(found[..., channel].astype(bool), expected == label), label
    volume = seg.get_volume(combine_segments=False)
    assert np.isclose(volume.spacing[0], 2.5), volume.spacing
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert getattr(seg, name) == getattr(by_place[0], name), name
    print([str(d.SegmentLabel) for d in described.values()])


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"fixtures": write_fixtures, "volume": judge_volume, "segmentation": judge_segmentation}[command](*map(Path, paths))
