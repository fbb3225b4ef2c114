import { nearestName } from "../config/nearest-name.js";
import type { Config } from "../config/schema.js";
import { workingGrid } from "../data/case-geometry.js";
import { gridDifference } from "../data/grid-match.js";
import { pathKind, volumeFiles } from "../data/layouts/layout.js";
import { type PreparedCase, prepareLabel } from "../data/prepare.js";
import type { UnlabelledCase } from "../data/splits.js";
import { readLabels } from "../data/volume-file.js";
import { DataError } from "../errors.js";
import { hashFiles } from "../io/hash-files.js";
import { Tensor } from "../native/tensor.js";
import { classesIn } from "./label-files.js";
import { caseFile } from "./stage.js";

/** Label files that stand in for SAM's pseudo-labels, whoever made them. */
export interface GivenLabels {
  /** Paths by id of the unlabelled case. */
  readonly paths: ReadonlyMap<string, string>;
  /** SHA-256 of their bytes. */
  readonly hash: string;
}

/** Whether the setting names a folder of label files. */
export function areGiven(pseudoLabels: Config["pseudoLabels"]): boolean {
  return pseudoLabels !== "per-crop" && pseudoLabels !== "per-volume";
}

/** Finds the label file of each case by its name. @throws DataError when the folder or a file is missing */
export async function findGivenLabels(
  folder: string,
  cases: readonly UnlabelledCase[],
  signal: AbortSignal | undefined,
): Promise<GivenLabels> {
  if ((await pathKind(folder)) !== "folder") {
    throw new DataError(
      `pseudoLabels: expected per-crop, per-volume or a folder of label files, received '${folder}'; correct the value`,
    );
  }
  const files = await volumeFiles(folder);
  const paths = new Map<string, string>();
  for (const { id } of cases) {
    const name = caseFile(id, "");
    const path = files.get(name);
    if (path === undefined) {
      const nearest = nearestName(name, [...files.keys()]);
      throw new DataError(
        `${folder}: expected a label file for the unlabelled case '${id}', received none` +
          `${nearest === null ? "" : `, the nearest is '${nearest}'`}; add it, or leave the case out`,
      );
    }
    paths.set(id, path);
  }
  return { paths, hash: await hashFiles([...paths.values()], signal) };
}

/**
 * Reads a label file as classes on the grid of training, u8 [D, H, W]. Files on the image's grid are treated as the
 * image was; those on the grid of training are taken as they are.
 *
 * @throws DataError when the grid is another one or an id is not among those of the labelled cases
 */
export async function readGivenLabel(
  path: string,
  prepared: PreparedCase,
  labelIds: readonly number[],
): Promise<Tensor> {
  const volume = await readLabels(path);
  const { source } = prepared.geometry;
  const difference = gridDifference(source, volume);
  // An image of a format without a place in the scanner (h5) has labels in any.
  const fits = difference === null || (difference.what === "geometry" && source.grid === undefined);
  if (!fits && gridDifference(workingGrid(prepared.geometry), volume) !== null) {
    throw new DataError(
      `${path}: expected ${difference.expected} as the image of '${prepared.id}' has, received ${difference.received}; ` +
        "resample it to the grid of its image",
    );
  }
  const classes = classesIn(path, volume.data, labelIds, "map its ids to those of the labelled cases");
  return fits ? prepareLabel(classes, prepared.geometry) : Tensor.from("u8", prepared.image.shape, classes);
}
