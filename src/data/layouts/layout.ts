import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { DataError } from "../../errors.js";
import { extensions, splitVolumeName } from "../formats/index.js";

/** One volume of a data set: where it lies, nothing read yet. */
export interface Case {
  /** Unique within its data set. */
  readonly id: string;
  /** Path of the image file; of the first channel where each has a file of its own. */
  readonly image: string;
  /** Paths of the further channels' files, in order; absent where `image` holds all of them. */
  readonly further?: readonly string[];
  /** Path of the label file (an h5 case: the same file); absent for unlabelled cases. */
  readonly label?: string;
  /** Which volume of a 4D image, from 0; absent: the image is 3D. */
  readonly frame?: number;
}

/** The files of a case's image: one, or one for each channel. */
export function imageFiles({ image, further = [] }: Pick<Case, "image" | "further">): readonly string[] {
  return [image, ...further];
}

/** What a layout finds under a root. */
export interface CaseLists {
  /** Cases to train on, labelled or not, in list order (folders: by id). */
  readonly train: readonly Case[];
  /** Cases set apart for measuring, in list order. */
  readonly test: readonly Case[];
  /** Names by label id, when the data set has them. */
  readonly labels?: Readonly<Record<number, string>>;
  /** Label id of voxels that belong to no class, when the data set has one. */
  readonly ignore?: number;
}

/** One way in which data sets lie on a disk. */
export interface Layout {
  readonly name: string;
  /** What `detect` looks for, for messages. */
  readonly lookedFor: string;
  /** True when the root has this layout; reads names only. */
  detect(root: string): Promise<boolean>;
  /** The cases under the root. @throws DataError when something is missing or does not fit together. */
  list(root: string): Promise<CaseLists>;
}

/** What a path is; null when there is nothing. @throws DataError when that cannot be seen */
export async function pathKind(path: string): Promise<"file" | "folder" | null> {
  try {
    const stats = await stat(path);
    return stats.isDirectory() ? "folder" : "file";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new DataError(`${path}: expected a path that can be read, received ${code}; check the path`, {
      cause: error,
    });
  }
}

const OTHER_FORMAT = /\.(hdr|img|mgh|mgz|mnc|dcm)$/i;

/**
 * Stems and paths of the volumes of a folder, in the order of their stems' code units. Hidden files and files that are
 * no images (sidecars, read-me files) do not count.
 *
 * @throws DataError when the folder cannot be read or a file has another image format
 */
export async function volumeEntries(folder: string): Promise<[stem: string, path: string][]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${folder}: expected a readable folder, received ${error.code}; check the path`, {
      cause: error,
    });
  });
  const entries: [string, string][] = [];
  for (const name of names.sort()) {
    if (name.startsWith(".")) continue;
    if (OTHER_FORMAT.test(name)) {
      const cure = /\.dcm$/i.test(name) ? "import the series by `sfr dicom-import`" : "convert it to .nii.gz";
      throw new DataError(
        `${folder}: expected volumes (${extensions.join(", ")}), received '${name}'; ${cure}`,
      );
    }
    const stem = splitVolumeName(name)?.stem;
    if (stem !== undefined) entries.push([stem, join(folder, name)]);
  }
  // Sorted again: "a-1.nii" < "a.nii" as file names, but "a" < "a-1" as stems.
  return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/**
 * Volumes of a folder by stem, as volumeEntries.
 *
 * @throws DataError as volumeEntries, and when two files share a stem
 */
export async function volumeFiles(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [stem, path] of await volumeEntries(folder)) {
    const before = files.get(stem);
    if (before !== undefined) {
      const names = `${basename(before)} and ${basename(path)}`;
      throw new DataError(`${folder}: expected one file for '${stem}', received ${names}; remove one`);
    }
    files.set(stem, path);
  }
  return files;
}

/** As volumeFiles, and nothing when the folder does not exist. */
export async function volumeFilesIfAny(folder: string): Promise<Map<string, string>> {
  return (await pathKind(folder)) === "folder" ? volumeFiles(folder) : new Map();
}

/** Names of the folders in a folder that match, sorted; none where it cannot be read. Links to folders count. */
export async function foldersIn(root: string, name: RegExp): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && name.test(entry.name))
    .map((entry) => entry.name)
    .sort();
}
