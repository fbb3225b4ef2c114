import { DataError } from "../../errors.js";
import type { VolumeFormat } from "./format.js";
import { h5 } from "./h5.js";
import { metaimage } from "./metaimage.js";
import { nifti } from "./nifti/nifti.js";
import { npz } from "./npz.js";
import { nrrd } from "./nrrd.js";

/** Every format that volumes are read from; a new one is a file here and a line in this list. */
const formats: readonly VolumeFormat[] = [
  nifti, //
  nrrd,
  metaimage,
  npz,
  h5,
];

/** Endings of the names of volumes. */
export const extensions: readonly string[] = formats.flatMap((format) => format.extensions);

/** Parts the name of a volume; undefined when no format has its ending. */
export function splitVolumeName(name: string): { stem: string; format: VolumeFormat } | undefined {
  const lower = name.toLowerCase();
  for (const format of formats) {
    const extension = format.extensions.find(
      (ending) => lower.endsWith(ending) && lower.length > ending.length,
    );
    if (extension !== undefined) return { stem: name.slice(0, -extension.length), format };
  }
  return undefined;
}

/** The format of a file by its name. @throws DataError when no format has this ending */
export function formatOf(path: string): VolumeFormat {
  const found = splitVolumeName(path);
  if (found) return found.format;
  throw new DataError(
    `${path}: expected a volume (${extensions.join(", ")}), received another name; convert it`,
  );
}
