import { randomUUID } from "node:crypto";
import { gridDifference } from "../data/grid-match.js";
import { Placement } from "../data/orientation.js";
import { type LabelVolume, voxelCount } from "../data/volume.js";
import { gridInMemory } from "../data/volume-file.js";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { version } from "../version.js";
import { loadLibrary } from "./library.js";
import type { Series } from "./series.js";

const SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4";
const EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1";
/** Says in every file that this program wrote it. */
const IMPLEMENTATION = "2.25.238102646232406994437947968012347704347";

/** Elements of these modules that must be there, if only empty. */
const MAY_BE_EMPTY = [
  ...["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"],
  ...["AccessionNumber", "ReferringPhysicianName"],
];

/** SNOMED CT's word for anything in a body: label ids do not say what they stand for. */
const TISSUE = { CodeValue: "85756007", CodingSchemeDesignator: "SCT", CodeMeaning: "Tissue" };

/** One slice of one segment. */
interface Frame {
  readonly segment: number;
  readonly slice: number;
}

/**
 * Writes labels as a DICOM segmentation (binary, a segment for each id) that refers to the series they belong to. Slices
 * without a voxel of a segment are left out, as the standard allows.
 *
 * @param path file to write
 * @param names of label ids; an id without one is called `label <id>`
 * @throws DataError when the labels lie elsewhere than the series or are all background; UsageError without dcmjs
 */
export async function writeSegmentation(
  path: string,
  labels: LabelVolume,
  series: Series,
  names: ReadonlyMap<number, string>,
): Promise<{ segments: number; frames: number }> {
  const difference = gridDifference(gridInMemory(series.header), labels);
  if (difference) {
    throw new DataError(
      `${path}: expected ${difference.expected} as the series in ${series.folder} has, ` +
        `received ${difference.received}; give the series that the labels were made from`,
    );
  }
  const { DicomDict, DicomMetaDictionary } = await loadLibrary();
  const ids = [...new Set(labels.data)].filter((id) => id !== 0).sort((a, b) => a - b);
  if (ids.length === 0) {
    throw new DataError(
      `${path}: expected at least one labelled voxel, received background everywhere; a DICOM segmentation cannot be empty`,
    );
  }
  const { frames, bits } = packFrames(labels, series, ids);
  const instance = newUid();
  const dataset = {
    ...generalElements(series, instance),
    ...imageElements(series, frames, bits),
    ...segmentElements(ids, names),
    ...placeElements(series, frames),
    _vrMap: { PixelData: "OB" },
  };
  const meta = DicomMetaDictionary.denaturalizeDataset({
    FileMetaInformationVersion: Uint8Array.of(0, 1).buffer,
    MediaStorageSOPClassUID: SEGMENTATION_STORAGE,
    MediaStorageSOPInstanceUID: instance,
    TransferSyntaxUID: EXPLICIT_LITTLE_ENDIAN,
    ImplementationClassUID: IMPLEMENTATION,
    ImplementationVersionName: "sfr",
    _vrMap: {},
  });
  const file = new DicomDict(meta);
  file.dict = DicomMetaDictionary.denaturalizeDataset(dataset);
  await writeFileAtomic(path, new Uint8Array(file.write()));
  return { segments: ids.length, frames: frames.length };
}

/** Bits of all frames one after another, lowest bit first, rounded up to whole bytes of even number. */
function packFrames(
  labels: LabelVolume,
  { header }: Series,
  ids: readonly number[],
): { frames: Frame[]; bits: ArrayBuffer } {
  const [nx, ny, nz] = header.shape;
  const count = voxelCount(header.shape);
  const inFile = labels.data instanceof Uint16Array ? new Uint16Array(count) : new Uint8Array(count);
  new Placement(header.shape, header.orientation).gather(labels.data, 0, inFile);
  const area = nx * ny;
  const frames = ids.flatMap((id, segment) =>
    Array.from({ length: nz }, (_, slice): Frame => ({ segment, slice })).filter(({ slice }) =>
      inFile.subarray(slice * area, (slice + 1) * area).includes(id),
    ),
  );
  const bits = new Uint8Array(2 * Math.ceil((frames.length * area) / 16));
  for (const [frame, { segment, slice }] of frames.entries()) {
    const id = ids[segment];
    for (let i = 0; i < area; i++) {
      // Not by bitwise operators: there can be more bits than they count.
      const at = frame * area + i;
      const byte = Math.floor(at / 8);
      if (inFile[slice * area + i] === id) bits[byte] = (bits[byte] ?? 0) | (1 << (at % 8));
    }
  }
  return { frames, bits: bits.buffer };
}

/** A new identifier, in the form that the standard has for UUIDs. */
function newUid(): string {
  return `2.25.${BigInt(`0x${randomUUID().replaceAll("-", "")}`)}`;
}

function generalElements({ stack, patient }: Series, instance: string): Record<string, unknown> {
  const now = new Date().toISOString();
  const [date, time] = [now.slice(0, 10).replaceAll("-", ""), now.slice(11, 19).replaceAll(":", "")];
  return {
    ...Object.fromEntries(MAY_BE_EMPTY.map((name) => [name, ""])),
    ...patient,
    SOPClassUID: SEGMENTATION_STORAGE,
    SOPInstanceUID: instance,
    SeriesInstanceUID: newUid(),
    Modality: "SEG",
    SeriesNumber: "1000",
    SeriesDescription: "sfr segmentation",
    InstanceNumber: "1",
    ContentDate: date,
    ContentTime: time,
    SeriesDate: date,
    SeriesTime: time,
    Manufacturer: "sfr",
    ManufacturerModelName: "sfr",
    DeviceSerialNumber: "0",
    SoftwareVersions: version,
    ContentLabel: "SEGMENTATION",
    ContentDescription: "Labels of a trained network",
    ContentCreatorName: "",
    ReferencedSeriesSequence: [
      {
        SeriesInstanceUID: stack.slices[0]?.series,
        ReferencedInstanceSequence: stack.slices.map(reference),
      },
    ],
  };
}

function reference({ elements }: Series["stack"]["slices"][number]): Record<string, string> {
  return { ReferencedSOPClassUID: elements.SOPClassUID, ReferencedSOPInstanceUID: elements.SOPInstanceUID };
}

function imageElements(
  { header }: Series,
  frames: readonly Frame[],
  bits: ArrayBuffer,
): Record<string, unknown> {
  return {
    ImageType: ["DERIVED", "PRIMARY"],
    LossyImageCompression: "00",
    SegmentationType: "BINARY",
    SamplesPerPixel: 1,
    PhotometricInterpretation: "MONOCHROME2",
    NumberOfFrames: String(frames.length),
    Rows: header.shape[1],
    Columns: header.shape[0],
    BitsAllocated: 1,
    BitsStored: 1,
    HighBit: 0,
    PixelRepresentation: 0,
    PixelData: [bits],
  };
}

function segmentElements(
  ids: readonly number[],
  names: ReadonlyMap<number, string>,
): Record<string, unknown> {
  const SegmentSequence = ids.map((id, index) => ({
    SegmentNumber: index + 1,
    SegmentLabel: (names.get(id) ?? `label ${id}`).slice(0, 64),
    SegmentDescription: `label id ${id}`,
    SegmentAlgorithmType: "AUTOMATIC",
    SegmentAlgorithmName: `sfr ${version}`,
    SegmentedPropertyCategoryCodeSequence: [TISSUE],
    SegmentedPropertyTypeCodeSequence: [TISSUE],
  }));
  return { SegmentSequence };
}

/** Where the frames lie, and how readers may sort them: by segment, then by place. */
function placeElements({ stack }: Series, frames: readonly Frame[]): Record<string, unknown> {
  const [first] = stack.slices;
  const spacing = Math.hypot(...stack.columns[2]);
  const organization = newUid();
  const index = (pointer: number, group: number, label: string): Record<string, unknown> => ({
    DimensionOrganizationUID: organization,
    DimensionIndexPointer: pointer,
    FunctionalGroupPointer: group,
    DimensionDescriptionLabel: label,
  });
  return {
    DimensionOrganizationSequence: [{ DimensionOrganizationUID: organization }],
    DimensionIndexSequence: [
      index(0x0062000b, 0x0062000a, "ReferencedSegmentNumber"),
      index(0x00200032, 0x00209113, "ImagePositionPatient"),
    ],
    SharedFunctionalGroupsSequence: [
      {
        PlaneOrientationSequence: [
          {
            ImageOrientationPatient: [...(first?.alongRow ?? []), ...(first?.alongColumn ?? [])].map(decimal),
          },
        ],
        PixelMeasuresSequence: [
          {
            PixelSpacing: (first?.pixelSpacing ?? []).map(decimal),
            SliceThickness: decimal(spacing),
            SpacingBetweenSlices: decimal(spacing),
          },
        ],
      },
    ],
    PerFrameFunctionalGroupsSequence: frames.map(({ segment, slice }) => {
      const source = stack.slices[slice];
      return {
        FrameContentSequence: [{ DimensionIndexValues: [segment + 1, slice + 1] }],
        PlanePositionSequence: [{ ImagePositionPatient: (source?.position ?? []).map(decimal) }],
        SegmentIdentificationSequence: [{ ReferencedSegmentNumber: segment + 1 }],
        DerivationImageSequence: source === undefined ? [] : [derivation(source)],
      };
    }),
  };
}

function derivation(source: Series["stack"]["slices"][number]): Record<string, unknown> {
  const code = (CodeValue: string, CodeMeaning: string) => [
    { CodeValue, CodingSchemeDesignator: "DCM", CodeMeaning },
  ];
  return {
    DerivationCodeSequence: code("113076", "Segmentation"),
    SourceImageSequence: [
      {
        ...reference(source),
        PurposeOfReferenceCodeSequence: code("121322", "Source image for image processing operation"),
      },
    ],
  };
}

/** A number in at most 16 characters, as the standard wants decimals. */
function decimal(value: number): string {
  for (let digits = 15; digits > 0; digits--) {
    const text = String(Number(value.toPrecision(digits)));
    if (text.length <= 16) return text;
  }
  return "0";
}
