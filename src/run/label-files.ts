import type { Grid } from "../data/grid-match.js";
import { classesOfIds, idsOfClasses, makeLabelTable } from "../data/label-table.js";
import { readLabels, writeLabels } from "../data/volume-file.js";
import { DataError } from "../errors.js";

/** Writes classes 0..K-1, u8 [D,H,W], as NIfTI with the original ids on a grid of their extents. */
export async function writeClasses(
  path: string,
  classes: Uint8Array,
  grid: Grid,
  labelIds: readonly number[],
): Promise<void> {
  const data = idsOfClasses(classes, { ids: labelIds });
  await writeLabels(path, { ...grid, data }, grid);
}

/** Reads what writeClasses wrote. @throws DataError when the file holds other ids */
export async function readClasses(path: string, labelIds: readonly number[]): Promise<Uint8Array> {
  const { data } = await readLabels(path);
  return classesIn(path, data, labelIds, "remove the file and run again");
}

/** Classes of the ids in a file. @param cure of an id that is not among `labelIds` @throws DataError */
export function classesIn(
  path: string,
  data: Uint8Array | Uint16Array,
  labelIds: readonly number[],
  cure: string,
): Uint8Array {
  const mapped = classesOfIds(data, makeLabelTable(labelIds, path));
  if ("classes" in mapped) return mapped.classes;
  throw new DataError(
    `${path}: expected label ids ${labelIds.join(", ")}, received ${data[mapped.unknownAt]}; ${cure}`,
  );
}
