import { DataError } from "../errors.js";
import type { Case } from "./cases.js";
import { gridDifference } from "./grid-match.js";
import { classesOfIds, type LabelTable, makeLabelTable, type Relabelling } from "./label-table.js";
import { voxelInFile } from "./orientation.js";
import type { LabelledCase, UnlabelledCase } from "./splits.js";
import type { ImageVolume, LabelVolume, Volume } from "./volume.js";
import { readImage, readLabels } from "./volume-file.js";

/** A case in memory with its label. */
export interface LoadedCase {
  readonly id: string;
  readonly image: ImageVolume;
  /** Class indices 0..K-1 by the table that was given, 255 ignored; shape, spacing and grid are the image's. */
  readonly label: Volume<Uint8Array>;
}

/** Reads the image of a case; intensities as stored, no normalisation. @throws DataError */
export function loadImage(entry: UnlabelledCase): Promise<ImageVolume> {
  return readImage(entry.image, entry.frame);
}

/** Reads the label ids of a case as they are stored. @throws DataError also when the case has no label */
export async function loadLabelIds(entry: Case): Promise<LabelVolume> {
  const path = entry.label;
  if (path === undefined) {
    throw new DataError(
      `case '${entry.id}': expected a label file, received none; add it or use the case unlabelled`,
    );
  }
  return readLabels(path);
}

/**
 * Reads a case with its label, ids mapped to classes.
 *
 * @throws DataError when a file cannot be read, the grids differ, or an id is not in the table (file, id
 *   and voxel are named)
 */
export async function loadCase(entry: Case, table: LabelTable): Promise<LoadedCase> {
  const image = await loadImage(entry);
  const ids = await loadLabelIds(entry);
  const path = entry.label ?? entry.id;
  const difference = gridDifference(image, ids);
  if (difference) {
    throw new DataError(
      `${path}: expected ${difference.expected} as ${entry.image} has, received ${difference.received}; ` +
        "give the label of this image",
    );
  }
  const mapped = classesOfIds(ids.data, table);
  if ("unknownAt" in mapped) {
    throw new DataError(
      `${path}: expected label ids ${table.ids.join(", ")}, received ${ids.data[mapped.unknownAt]} at voxel ` +
        `(${voxelInFile(mapped.unknownAt, ids).join(", ")}); correct the label or the table of ids`,
    );
  }
  return { id: entry.id, image, label: { ...image, data: mapped.classes } };
}

/** The table of all ids that occur in the labels of these cases, relabelled. @throws DataError */
export async function discoverLabelTable(
  cases: readonly LabelledCase[],
  relabel: Relabelling = {},
): Promise<LabelTable> {
  const ids = new Set<number>();
  for (const entry of cases) {
    const { data } = await loadLabelIds(entry);
    const seen = new Uint8Array(65536);
    for (let i = 0; i < data.length; i++) seen[data[i] ?? 0] = 1;
    for (const [id, flag] of seen.entries()) if (flag) ids.add(id);
  }
  return makeLabelTable(ids, `labels of ${cases.map((entry) => entry.id).join(", ")}`, relabel);
}
