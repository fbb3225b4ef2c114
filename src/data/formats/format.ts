import { DataError } from "../../errors.js";
import type { Segment } from "../segments.js";
import type { Affine, FileHeader, Orientation, Vec3 } from "../volume.js";
import type { VoxelType } from "./voxel-type.js";

/** What reading the voxels of a file needs to know. Axes are the file's, as it numbers them. */
export interface VoxelHeader {
  /** For people: `NIfTI-1`. */
  readonly format: string;
  /** Extents, voxels. */
  readonly shape: Vec3;
  /** Channels, each a volume of this shape, one behind the other; absent: one. */
  readonly channels?: number;
  /** Distance of voxel centres, mm; null when the file does not say. */
  readonly spacing: Vec3 | null;
  /** Voxel index to scanner coordinates, mm, RAS+; null when the file does not say. */
  readonly affine: Affine | null;
  /** What a second affine of the file says, which is not used; null when there is none. */
  readonly otherAffine?: Affine | null;
  /** How the file's axes are laid into memory. */
  readonly orientation: Orientation;
  /** Which axis of the file lies densest: x, or z as in NumPy's C order. */
  readonly fastest: "x" | "z";
  readonly type: VoxelType;
  /** Byte order of the voxels. */
  readonly littleEndian: boolean;
  /** value = stored * slope + intercept. */
  readonly slope: number;
  readonly intercept: number;
  /** To write results like it. */
  readonly source: FileHeader | null;
}

/** A file that is open for reading its voxels. */
export interface VoxelSource extends AsyncDisposable {
  readonly header: VoxelHeader;
  /** The voxels can have no more bytes than this; a damaged header may promise terabytes. */
  readonly maxBytes: number;
  /** The stored bytes in pieces of any size. */
  readonly voxels: AsyncIterable<Uint8Array>;
}

/** Which of two volumes to read, where one file holds both. */
export type Content = "image" | "label";

/** Which volume of a file to read. */
export interface WantedVolume {
  readonly content: Content;
  /** Of the volumes of a 4D file, counted from 0, or all as channels; null: the file must hold one alone. */
  readonly frame: number | "all" | null;
}

/** A volume, or several as channels, among those of its shape that follow one another in a file. */
export interface Frame {
  /** Extents, voxels. */
  readonly shape: Vec3;
  /** Which one, from 0. */
  readonly index: number;
  /** How many of them are read, from this one on. */
  readonly channels: number;
  /** How many there are. */
  readonly count: number;
}

/** The grid of a file to be written; axes are the file's. */
export interface FileGrid {
  /** Extents, voxels. */
  readonly shape: Vec3;
  /** mm; null = unknown. */
  readonly spacing: Vec3 | null;
  /** mm, RAS+; null = unknown. */
  readonly affine: Affine | null;
  /** The header to write like; another format's is left aside. */
  readonly header: FileHeader | null;
}

/** What the voxels of a file to be written are. */
export interface VoxelKind {
  readonly type: VoxelType;
  /** True for label ids: the header says so to viewers where it can. */
  readonly labels: boolean;
  /** What label ids stand for, where the format can say so; absent: as in the header that is written like. */
  readonly segments?: readonly Segment[];
  /** value = stored * slope, where the format can say so; absent: 1. */
  readonly slope?: number;
  /** At most 79 bytes. */
  readonly description: string;
}

/** How a file to be written begins and how its voxels follow. */
export interface FilePlan {
  readonly head: Uint8Array;
  readonly littleEndian: boolean;
  /** What is packed: nothing, the voxels, or head and voxels together. */
  readonly gzip: "nothing" | "voxels" | "all";
}

/** A file format of volumes. */
export interface VolumeFormat {
  /** Endings of names in lower case, longest first. */
  readonly extensions: readonly string[];
  /** True when one file holds image and label. */
  readonly holdsLabel: boolean;
  /** Ending of results that belong to an image of this format. */
  readonly resultExtension: ".nii.gz" | ".nrrd" | ".mha";
  /** Reads the header. @throws DataError when this is no file of the format with this 3D volume of real numbers */
  open(path: string, wanted: WantedVolume): Promise<VoxelSource>;
  /** Absent for formats that are only read. */
  plan?(path: string, grid: FileGrid, kind: VoxelKind): FilePlan;
  /** What results take over of the header of their image, as text. */
  kept?(header: FileHeader): string;
}

/**
 * Finds the wanted volume in a file with these extents, of which the fourth counts volumes.
 *
 * @throws DataError when an extent is below 1, the file is 2D or has further axes, and when it holds several volumes of
 *   which none was chosen, or not the one that was
 */
export function chooseFrame(
  path: string,
  extents: readonly number[],
  { content, frame }: WantedVolume,
): Frame {
  const given = extents.join(" x ");
  if (extents.some((extent) => !Number.isSafeInteger(extent) || extent < 1)) {
    throw new DataError(
      `${path}: expected at least 1 voxel along every axis, received ${given}; the file is empty or damaged`,
    );
  }
  const [x, y, z, count = 1, ...more] = extents;
  if (x === undefined || y === undefined || z === undefined) {
    throw new DataError(
      `${path}: expected one 3D volume, received ${extents.length} axes (${given}); put the slices into one volume`,
    );
  }
  if (more.some((extent) => extent > 1)) throw severalVolumes(path, extents, SPLIT);
  const isAmbiguous = frame === null ? count > 1 : frame === "all" && count > mostChannels;
  if (isAmbiguous) {
    const cure = `choose one of its ${count} frames, counted from 0, by --frame (data.frame in a configuration)`;
    throw severalVolumes(path, extents, content === "label" ? SPLIT : cure);
  }
  const [index, channels] = frame === "all" ? [0, count] : [frame ?? 0, 1];
  if (index >= count) {
    throw new DataError(
      `${path}: expected a file of more than ${index} volumes for frame ${index}, received ${count}; ` +
        "choose another frame, counted from 0",
    );
  }
  if (!Number.isSafeInteger(x * y * z * 8 * count)) {
    throw new DataError(
      `${path}: expected a volume that fits into memory, received ${given}; the header is damaged`,
    );
  }
  return { shape: [x, y, z], index, channels, count };
}

/** Extents of the one volume of a file whose format holds no more. @throws DataError as chooseFrame */
export function checkShape(path: string, extents: readonly number[], wanted: WantedVolume): Vec3 {
  if (extents.slice(3).some((extent) => extent > 1)) throw severalVolumes(path, extents, SPLIT);
  return chooseFrame(path, extents, wanted).shape;
}

/** Image sequences of MRI are no more; a 4D image of more is a course over time or directions. */
const mostChannels = 4;

const SPLIT = "split the file into one file per volume";

function severalVolumes(path: string, extents: readonly number[], cure: string): DataError {
  return new DataError(`${path}: expected one 3D volume, received ${extents.join(" x ")}; ${cure}`);
}

/** @returns the affine itself. @throws DataError when an entry is no number */
export function checkAffine(path: string, affine: Affine): Affine {
  if (affine.flat().every((entry) => Number.isFinite(entry))) return affine;
  throw new DataError(
    `${path}: expected finite numbers for the affine, received ${affine.flat().join(" ")}; correct the header`,
  );
}
