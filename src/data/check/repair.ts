import { constants, copyFile, link } from "node:fs/promises";
import { DataError } from "../../errors.js";
import { formatOf } from "../formats/index.js";
import { gridDifference } from "../grid-match.js";
import { readGrid, readLabels, writeLabels } from "../volume-file.js";

/** A label to write anew, and the image that it belongs to. */
export interface LabelRepair {
  /** Path of the label file. */
  readonly label: string;
  /** Path of the image. */
  readonly image: string;
  /** Which volume of a 4D image, from 0. */
  readonly frame: number | null;
}

/** Labels of formats that are written as one file. */
export function canRepair(label: string): boolean {
  return formatOf(label).plan !== undefined && !/\.(nhdr|mhd)$/i.test(label);
}

/**
 * Writes the ids of a label, each as it was, as uint8 or uint16 on the very grid of its image. The original stays beside
 * it as `<name>.original`; one that is there already, of an earlier repair, is kept. At every moment the label's name
 * has the old content or the new one.
 *
 * @returns path of the original
 * @throws DataError when a file cannot be read or written, or the label does not belong to the image
 */
export async function repairLabel({ label, image, frame }: LabelRepair): Promise<string> {
  const labels = await readLabels(label);
  const grid = await readGrid(image, frame);
  const difference = gridDifference(grid, labels);
  if (difference) {
    throw new DataError(
      `${label}: expected ${difference.expected} as ${image} has, received ${difference.received}; check again`,
    );
  }
  const original = `${label}.original`;
  await keepOriginal(label, original);
  await writeLabels(label, labels, grid);
  return original;
}

async function keepOriginal(label: string, original: string): Promise<void> {
  try {
    await link(label, original);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST") return;
    // A disk without hard links.
    await copyFile(label, original, constants.COPYFILE_EXCL).catch((reason: NodeJS.ErrnoException) => {
      throw new DataError(
        `${original}: expected to keep the original here, received ${reason.code}; choose a folder that you may write to`,
        { cause: reason },
      );
    });
  }
}
