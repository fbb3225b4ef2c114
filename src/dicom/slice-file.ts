import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { describeReadError } from "../data/formats/byte-stream.js";
import { messageOf } from "../error-text.js";
import { DataError } from "../errors.js";
import { loadLibrary } from "./library.js";

/** Transfer syntaxes whose pixels stand as they are, little-endian; elements then say their types, or do not. */
const EXPLICIT = "1.2.840.10008.1.2.1";
const IMPLICIT = "1.2.840.10008.1.2";
/** What the others are called, by the beginnings of their identifiers, the longest first. */
const PACKED: readonly (readonly [syntax: string, name: string])[] = [
  ["1.2.840.10008.1.2.1.99", "Deflated"],
  ["1.2.840.10008.1.2.2", "Big Endian"],
  ["1.2.840.10008.1.2.4.20", "HTJ2K"],
  ["1.2.840.10008.1.2.4.9", "JPEG 2000"],
  ["1.2.840.10008.1.2.4.8", "JPEG-LS"],
  ["1.2.840.10008.1.2.4.10", "MPEG"],
  ["1.2.840.10008.1.2.4", "JPEG"],
  ["1.2.840.10008.1.2.5", "RLE"],
];
const PIXELS = "7FE00010";
/** No slice is larger: 8192 x 8192 pixels of 16 bits; bytes. */
const MAX_SLICE = 1 << 27;

const number = z.number();

/** What a slice must say; names are the standard's. */
const elements = z.object({
  SOPClassUID: z.string(),
  SOPInstanceUID: z.string(),
  SeriesInstanceUID: z.string(),
  NumberOfFrames: z.literal(1).default(1),
  SamplesPerPixel: z.literal(1),
  PhotometricInterpretation: z.literal("MONOCHROME2"),
  Rows: z.int().min(1).max(65535),
  Columns: z.int().min(1).max(65535),
  /** Centre of the first pixel, mm, LPS+. */
  ImagePositionPatient: z.tuple([number, number, number]),
  /** Unit vectors along a row, and from row to row. */
  ImageOrientationPatient: z.tuple([number, number, number, number, number, number]),
  /** Distance of pixel centres, mm: from row to row, and along a row. */
  PixelSpacing: z.tuple([number.positive(), number.positive()]),
  BitsAllocated: z.union([z.literal(8), z.literal(16), z.literal(32)]),
  BitsStored: z.int().min(1).max(32),
  HighBit: z.int(),
  /** 0: unsigned; 1: two's complement. */
  PixelRepresentation: z.union([z.literal(0), z.literal(1)]),
  RescaleSlope: number.default(1),
  RescaleIntercept: number.default(0),
});

/** The patient and the study, which a segmentation takes over; all of them texts or names. */
const PATIENT_AND_STUDY = [
  ...["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight"],
  ...["StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"],
  ...["ReferringPhysicianName", "FrameOfReferenceUID", "SpecificCharacterSet"],
];

/** What a file says of its slice. */
export interface SliceFile {
  readonly elements: z.infer<typeof elements>;
  /** Patient and study, by the standard's names. */
  readonly patient: Readonly<Record<string, unknown>>;
  /** Where the stored pixels begin, bytes: little-endian, row by row. */
  readonly pixelsAt: number;
}

/** Bytes that the pixels of a slice take. */
export function pixelBytes({ Rows, Columns, BitsAllocated }: SliceFile["elements"]): number {
  return (Rows * Columns * BitsAllocated) / 8;
}

/**
 * Reads the header of a DICOM file of one slice. What dcmjs does with a damaged file is not bounded in time or memory,
 * so only the process of slice-process.ts calls this.
 *
 * @throws DataError when it cannot be read, is packed (JPEG and alike), cut short, in colours, of several frames or no
 *   slice; UsageError when dcmjs is not installed
 */
export async function readSliceFile(path: string): Promise<SliceFile> {
  const bytes = await readBytes(path);
  const { named, syntax } = await parse(path, bytes);
  refusePacked(path, syntax);
  const found = checkElements(path, named);
  const kept = PATIENT_AND_STUDY.filter((name) => named[name] !== undefined);
  const patient = Object.fromEntries(kept.map((name) => [name, named[name]]));
  return {
    elements: found,
    // As plain data: what dcmjs gives carries accessors.
    patient: JSON.parse(JSON.stringify(patient)),
    pixelsAt: findPixels(path, bytes, found, syntax),
  };
}

/**
 * Finds the pixels by the tag, type and length that stand before them. dcmjs would give them too, but with zeros in the
 * place of those that a file cut short lacks.
 */
function findPixels(path: string, bytes: Buffer, found: SliceFile["elements"], syntax: string): number {
  const count = pixelBytes(found);
  const length = Buffer.alloc(4);
  // Elements have an even number of bytes.
  length.writeUInt32LE((count + (count % 2)) % 2 ** 32);
  const tag = Buffer.from([0xe0, 0x7f, 0x10, 0x00]);
  const types = syntax === IMPLICIT ? [""] : ["OW\0\0", "OB\0\0"];
  for (const type of types) {
    const head = Buffer.concat([tag, Buffer.from(type), length]);
    const at = bytes.lastIndexOf(head);
    if (at >= 0 && at + head.length + count <= bytes.length) return at + head.length;
  }
  throw new DataError(
    `${path}: expected ${count} bytes of pixels (${found.Columns} x ${found.Rows}, ${found.BitsAllocated} bits), ` +
      "received another number; the file is cut short or its header is damaged, copy it again",
  );
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size <= MAX_SLICE) return await readFile(path);
    throw new DataError(
      `${path}: expected one slice of at most ${MAX_SLICE} bytes, received ${size}; leave this file out`,
    );
  } catch (error) {
    throw describeReadError(path, error);
  }
}

type Named = Readonly<Record<string, unknown>>;

async function parse(path: string, bytes: Buffer): Promise<{ named: Named; syntax: string }> {
  const { DicomMessage, DicomMetaDictionary } = await loadLibrary();
  try {
    const { meta, dict } = DicomMessage.readFile(new Uint8Array(bytes).buffer, { untilTag: PIXELS });
    const syntax = DicomMetaDictionary.naturalizeDataset(meta).TransferSyntaxUID;
    return { named: DicomMetaDictionary.naturalizeDataset(dict), syntax: String(syntax) };
  } catch (error) {
    throw new DataError(
      `${path}: expected a readable DICOM file, received "${messageOf(error)}"; copy the file again`,
      { cause: error },
    );
  }
}

function refusePacked(path: string, syntax: string): void {
  if (syntax === EXPLICIT || syntax === IMPLICIT) return;
  const [, name = "unknown"] = PACKED.find(([begin]) => syntax.startsWith(begin)) ?? [];
  throw new DataError(
    `${path}: expected pixels that are not packed, little-endian, received transfer syntax ${syntax} (${name}); ` +
      "unpack the series first, as with gdcmconv --raw or dcmdjpeg, or convert it with dcm2niix",
  );
}

function checkElements(path: string, named: Named): SliceFile["elements"] {
  const { data, error } = elements.safeParse(named);
  if (data === undefined) {
    const name = String(error.issues[0]?.path[0]);
    const received = JSON.stringify(named[name])?.slice(0, 60) ?? "none";
    throw new DataError(
      `${path}: expected a gray slice with a place in the patient, received ${received} for ${name}; ` +
        "leave this file out, or convert the series with dcm2niix",
    );
  }
  if (data.HighBit !== data.BitsStored - 1 || data.BitsStored > data.BitsAllocated) {
    throw new DataError(
      `${path}: expected the lower bits of each pixel, received HighBit ${data.HighBit} with ${data.BitsStored} of ` +
        `${data.BitsAllocated} bits stored; convert the series with dcm2niix`,
    );
  }
  return data;
}
