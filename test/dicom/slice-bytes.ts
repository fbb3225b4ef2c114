/** Elements of a slice: group, element, type, value. */
type Element = readonly [group: number, element: number, vr: string, value: string | number | Uint8Array];

/** What the slice of `sliceBytes` says, by the standard's names; each can be changed. */
const SLICE = {
  SpecificCharacterSet: [0x0008, 0x0005, "CS", "ISO_IR 100"],
  SOPClassUID: [0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.2"],
  SOPInstanceUID: [0x0008, 0x0018, "UI", "1.2.3.1"],
  PatientName: [0x0010, 0x0010, "PN", "Phantom^A"],
  PatientID: [0x0010, 0x0020, "LO", "P1"],
  StudyInstanceUID: [0x0020, 0x000d, "UI", "1.2.4"],
  SeriesInstanceUID: [0x0020, 0x000e, "UI", "1.2.5"],
  ImagePositionPatient: [0x0020, 0x0032, "DS", "-10\\5\\30"],
  ImageOrientationPatient: [0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"],
  FrameOfReferenceUID: [0x0020, 0x0052, "UI", "1.2.6"],
  SamplesPerPixel: [0x0028, 0x0002, "US", 1],
  PhotometricInterpretation: [0x0028, 0x0004, "CS", "MONOCHROME2"],
  NumberOfFrames: [0x0028, 0x0008, "IS", "1"],
  Rows: [0x0028, 0x0010, "US", 3],
  Columns: [0x0028, 0x0011, "US", 4],
  PixelSpacing: [0x0028, 0x0030, "DS", "0.8\\0.7"],
  BitsAllocated: [0x0028, 0x0100, "US", 16],
  BitsStored: [0x0028, 0x0101, "US", 16],
  HighBit: [0x0028, 0x0102, "US", 15],
  PixelRepresentation: [0x0028, 0x0103, "US", 0],
  RescaleIntercept: [0x0028, 0x1052, "DS", "0"],
  RescaleSlope: [0x0028, 0x1053, "DS", "1"],
  PixelData: [0x7fe0, 0x0010, "OW", Uint8Array.from({ length: 24 }, (_, i) => i)],
} as const satisfies Readonly<Record<string, Element>>;

/** Values to change; null leaves an element out. */
export type SliceChanges = { readonly [name in keyof typeof SLICE]?: Element[3] | null } & {
  readonly syntax?: string;
};

/** Where the elements of `sliceBytes` begin: preamble, four letters, length of the meta header, transfer syntax. */
export const HEAD_LENGTH = 128 + 4 + 12 + 28;

const LONG = new Set(["OB", "OW", "SQ", "UN"]);

/** A DICOM file of a slice of 4 x 3 pixels, unsigned 16 bits, 0x0100 0x0302 .., explicit and little-endian. */
export function sliceBytes({ syntax = "1.2.840.10008.1.2.1", ...changes }: SliceChanges = {}): Buffer {
  const named: Readonly<Record<string, Element[3] | null | undefined>> = changes;
  const elements = Object.entries(SLICE).flatMap(([name, [group, element, vr, value]]) => {
    const chosen = named[name] === undefined ? value : named[name];
    return chosen === null ? [] : [encode([group, element, vr, chosen])];
  });
  const meta = encode([0x0002, 0x0010, "UI", syntax]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([
    ...[Buffer.alloc(128), Buffer.from("DICM")],
    ...[encode([0x0002, 0x0000, "UL", length]), meta, ...elements],
  ]);
}

/** An element, explicit and little-endian. @param length that it says it has, bytes; default: the true one */
export function encode([group, element, vr, value]: Element, length?: number): Buffer {
  const bytes = valueBytes(vr, value);
  const head = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(element, 2);
  head.write(vr, 4, "latin1");
  if (LONG.has(vr)) head.writeUInt32LE(length ?? bytes.length, 8);
  else head.writeUInt16LE(length ?? bytes.length, 6);
  return Buffer.concat([head, bytes]);
}

function valueBytes(vr: string, value: Element[3]): Buffer {
  if (typeof value === "number") return Buffer.from([value & 255, value >> 8]);
  if (typeof value !== "string") return Buffer.from(value);
  // Texts have an even number of bytes.
  return Buffer.from(value.length % 2 === 0 ? value : value + (vr === "UI" ? "\0" : " "), "latin1");
}
