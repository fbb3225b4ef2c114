import { DataError } from "../../../errors.js";
import { closestOrientation } from "../../orientation.js";
import type { Affine, FileHeader } from "../../volume.js";
import { ByteStream } from "../byte-stream.js";
import {
  chooseFrame,
  type FileGrid,
  type FilePlan,
  type Frame,
  type VolumeFormat,
  type VoxelHeader,
  type VoxelKind,
  type WantedVolume,
} from "../format.js";
import { type VoxelType, voxelTypes } from "../voxel-type.js";
import { readAffine, readOtherAffine, readSpacing } from "./affine.js";
import { HeaderView, type NiftiFields, type NiftiLayout, niftiLayouts, parseFields } from "./fields.js";

const INTENT_LABEL = 1002;
const UNITS_MM = 2;
const XFORM_ALIGNED = 2;
/** Largest extent of NIfTI-1. */
const MAX_INT16 = 32767;

const CODES: Readonly<Record<VoxelType["name"], number>> = {
  uint8: 2,
  int16: 4,
  int32: 8,
  float32: 16,
  float64: 64,
  int8: 256,
  uint16: 512,
  uint32: 768,
  int64: 1024,
  uint64: 1280,
};

const OTHER_TYPES: Readonly<Record<number, string>> = {
  1: "1-bit voxels",
  32: "complex64 voxels",
  128: "RGB voxels",
  1536: "float128 voxels",
  1792: "complex128 voxels",
  2048: "complex256 voxels",
  2304: "RGBA voxels",
};

/** NIfTI-1 and NIfTI-2 in one file, plain or gzip, 3D or 4D; results carry the header of their image. */
export const nifti: VolumeFormat = {
  extensions: [".nii.gz", ".nii"],
  holdsLabel: false,
  resultExtension: ".nii.gz",
  async open(path, wanted) {
    const stream = await ByteStream.open(path);
    try {
      const bytes = await takeHeader(stream);
      const { header, frame, voxelOffset } = parseNiftiHeader(bytes, path, wanted);
      await stream.skip(voxelOffset - bytes.length);
      return await stream.asSource(header, frame);
    } catch (error) {
      await stream[Symbol.asyncDispose]();
      throw error;
    }
  },
  plan: planNifti,
  kept: ({ bytes, littleEndian }) => {
    const layout = bytes.length === niftiLayouts[2].size ? niftiLayouts[2] : niftiLayouts[1];
    const view = new HeaderView(Uint8Array.from(bytes), littleEndian);
    clearVoxelFields(view, layout);
    return Buffer.from(view.bytes).toString("hex");
  },
};

/** As many bytes as the first field says that the header has. */
async function takeHeader(stream: ByteStream): Promise<Uint8Array<ArrayBuffer>> {
  const [short, long] = [niftiLayouts[1].size, niftiLayouts[2].size];
  const begin = await stream.take(short);
  const isLong = begin.length >= 4 && [begin.readInt32LE(0), begin.readInt32BE(0)].includes(long);
  const more = isLong ? await stream.take(long - short) : Buffer.alloc(0);
  return Uint8Array.from(Buffer.concat([begin, more]));
}

/** @throws DataError when this is no header of volumes of real numbers with the wanted one */
function parseNiftiHeader(
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
  wanted: WantedVolume,
): { header: VoxelHeader; frame: Frame; voxelOffset: number } {
  const layout = layoutOf(bytes, path);
  const fields = parseFields(bytes, layout);
  const frame = readFrame(fields, path, wanted);
  const affine = readAffine(fields, path);
  const orientation = closestOrientation(affine);
  if (!orientation) throw flatAxes(fields, affine, path);
  const { littleEndian } = fields;
  const header: VoxelHeader = {
    format: `NIfTI-${layout.version}`,
    shape: frame.shape,
    channels: frame.channels,
    spacing: readSpacing(fields, affine),
    affine,
    otherAffine: readOtherAffine(fields, path),
    orientation,
    fastest: "x",
    type: readType(fields, path),
    littleEndian,
    ...readScaling(fields, path),
    source: { format: "nifti", bytes: frame.count > 1 ? headerOfOne(fields, frame) : bytes, littleEndian },
  };
  return { header, frame, voxelOffset: readVoxelOffset(fields, path) };
}

/** The header of a 4D file, as one of its volumes alone would have it. */
function headerOfOne({ bytes, littleEndian, layout }: NiftiFields, { shape }: Frame): Uint8Array {
  const view = new HeaderView(Uint8Array.from(bytes), littleEndian);
  view.put(layout.dim, 3, ...shape, 1, 1, 1, 1);
  return view.bytes;
}

function layoutOf(header: Uint8Array<ArrayBuffer>, path: string): NiftiLayout {
  const wrong = (received: string, cure: string): DataError =>
    new DataError(`${path}: expected a NIfTI header, received ${received}; ${cure}`);
  const size = header.length >= 4 ? new HeaderView(header, true).get([0, "i32"]) : 0;
  const swapped = header.length >= 4 ? new HeaderView(header, false).get([0, "i32"]) : 0;
  const layout = [size, swapped].includes(niftiLayouts[2].size) ? niftiLayouts[2] : niftiLayouts[1];
  if (header.length < layout.size) {
    throw wrong(`a file of ${header.length} bytes (unpacked)`, "copy the file again, it is cut short");
  }
  const [offset, expected] = layout.magic;
  const magic = String.fromCharCode(...header.subarray(offset, offset + expected.length));
  if (/^ni[12]/.test(magic)) {
    throw wrong("the header of a .hdr/.img pair", "convert it to one .nii or .nii.gz file");
  }
  if (magic !== expected || ![size, swapped].includes(layout.size)) {
    const found = JSON.stringify(magic);
    throw wrong(`another file (size field ${size}, magic ${found})`, "give a .nii or .nii.gz file");
  }
  return layout;
}

function readFrame({ dims }: NiftiFields, path: string, wanted: WantedVolume): Frame {
  const [rank = 0, ...extents] = dims;
  if (rank < 1 || rank > 7) {
    throw new DataError(
      `${path}: expected 1 to 7 for the number of dimensions, received ${rank}; the header is damaged`,
    );
  }
  // Extents beyond the rank mean nothing, whatever they hold.
  return chooseFrame(path, extents.slice(0, rank), wanted);
}

function flatAxes({ parsed }: NiftiFields, affine: Affine, path: string): DataError {
  if (parsed.sform_code > 0) {
    return new DataError(
      `${path}: expected three axes in different directions for the s-form, ` +
        `received ${affine.slice(0, 3).flat().join(" ")}; correct the header`,
    );
  }
  return new DataError(
    `${path}: expected positive numbers for the voxel spacing (pixdim), ` +
      `received ${parsed.pixDims.slice(1, 4).join(", ")}; correct the header`,
  );
}

function readType({ parsed }: NiftiFields, path: string): VoxelType {
  const name = (Object.keys(CODES) as VoxelType["name"][]).find((key) => CODES[key] === parsed.datatypeCode);
  if (name === undefined) {
    const received = OTHER_TYPES[parsed.datatypeCode] ?? `datatype code ${parsed.datatypeCode}`;
    throw new DataError(
      `${path}: expected integer or float voxels, received ${received}; convert the file to int16 or float32`,
    );
  }
  const type = voxelTypes[name];
  if (parsed.numBitsPerVoxel !== type.bytes * 8) {
    throw new DataError(
      `${path}: expected ${type.bytes * 8} bits per voxel for ${name}, ` +
        `received ${parsed.numBitsPerVoxel}; the header is damaged`,
    );
  }
  return type;
}

function readVoxelOffset({ voxOffset, layout }: NiftiFields, path: string): number {
  const least = layout.size + 4;
  if (!Number.isInteger(voxOffset) || voxOffset < least || voxOffset > 2 ** 31) {
    throw new DataError(
      `${path}: expected ${least} or more for vox_offset, received ${voxOffset}; the header is damaged`,
    );
  }
  return voxOffset;
}

/** nibabel's rule: a slope of 0 or one that is no number means that values are stored as they are. */
function readScaling({ parsed }: NiftiFields, path: string): { slope: number; intercept: number } {
  const { scl_slope: slope, scl_inter: intercept } = parsed;
  if (slope === 0 || !Number.isFinite(slope)) return { slope: 1, intercept: 0 };
  if (!Number.isFinite(intercept)) {
    throw new DataError(
      `${path}: expected a number for scl_inter, received ${intercept}; correct the header`,
    );
  }
  return { slope, intercept };
}

/**
 * Header and empty extension flag of a file on the same grid: dim, pixdim, both forms, units and everything else as in
 * the image's header and byte order; type, scaling, display range and description as the new voxels need them.
 */
function planNifti(path: string, grid: FileGrid, kind: VoxelKind): FilePlan {
  const source = grid.header?.format === "nifti" ? grid.header : newHeader(grid);
  const layout = source.bytes.length === niftiLayouts[2].size ? niftiLayouts[2] : niftiLayouts[1];
  const head = new Uint8Array(layout.size + 4);
  head.set(source.bytes);
  const view = new HeaderView(head, source.littleEndian);
  clearVoxelFields(view, layout, kind.labels);
  view.put(layout.datatype, CODES[kind.type.name]);
  view.put(layout.bitpix, kind.type.bytes * 8);
  view.put(layout.voxOffset, head.length);
  view.put(layout.slope, kind.slope ?? 1);
  new TextEncoder().encodeInto(kind.description, head.subarray(layout.description, layout.description + 79));
  if (kind.labels) view.put(layout.intentCode, INTENT_LABEL);
  return { head, littleEndian: source.littleEndian, gzip: /\.gz$/i.test(path) ? "all" : "nothing" };
}

/** Sets the fields that describe voxels to 0; the intent is the image's own where results are intensities too. */
function clearVoxelFields(view: HeaderView, layout: NiftiLayout, withIntent = true): void {
  const { datatype, bitpix, voxOffset, slope, intercept, calMax, calMin, description } = layout;
  for (const field of [datatype, bitpix, voxOffset, slope, intercept, calMax, calMin]) view.put(field, 0);
  if (layout.version === 1) view.bytes.fill(0, 140, 148); // glmax, glmin
  view.bytes.fill(0, description, description + 80);
  if (!withIntent) return;
  view.put(layout.intentParameters, 0, 0, 0);
  view.put(layout.intentCode, 0);
  view.bytes.fill(0, layout.intentName, layout.intentName + 16);
}

/** A little-endian header with an s-form only; without an affine the spacing, or 1 with unknown unit, from origin 0. */
function newHeader({ shape, spacing, affine }: FileGrid): FileHeader {
  const layout = Math.max(...shape) > MAX_INT16 ? niftiLayouts[2] : niftiLayouts[1];
  const view = new HeaderView(new Uint8Array(layout.size), true);
  const [dx, dy, dz] = spacing ?? [1, 1, 1];
  const rows = affine?.slice(0, 3).flat() ?? [dx, 0, 0, 0, 0, dy, 0, 0, 0, 0, dz, 0];
  view.put([0, "i32"], layout.size);
  const [offset, magic] = layout.magic;
  view.bytes.set(new TextEncoder().encode(magic), offset);
  if (layout.version === 1) view.put([38, "u8"], "r".charCodeAt(0)); // "regular", for old readers
  view.put(layout.dim, 3, ...shape, 1, 1, 1, 1);
  view.put(layout.pixdim, 1, dx, dy, dz);
  view.put(layout.units, spacing ? UNITS_MM : 0);
  view.put(layout.sformCode, XFORM_ALIGNED);
  view.put(layout.srow, ...rows);
  return { format: "nifti", bytes: view.bytes, littleEndian: true };
}
