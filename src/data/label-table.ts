import { DataError } from "../errors.js";

/** Classes are numbered 0..K-1 by position in this table; 255 marks ignored voxels and is no class. */
const MAX_CLASSES = 255;

/** Which label id each class stands for: ids rise, class 0 is id 0, the background. */
export interface LabelTable {
  readonly ids: readonly number[];
}

/**
 * Makes a table of the ids that occur or are named; 0 is always in it.
 *
 * @param where for messages
 * @throws DataError when fewer than 2 or more than 255 classes come out, or an id is no integer in 0..65535
 */
export function makeLabelTable(ids: Iterable<number>, where: string): LabelTable {
  const sorted = [...new Set([0, ...ids])].sort((a, b) => a - b);
  const wrong = sorted.find((id) => !Number.isInteger(id) || id < 0 || id > 65535);
  if (wrong !== undefined) {
    throw new DataError(`${where}: expected whole numbers 0..65535 for the label ids, received ${wrong}`);
  }
  if (sorted.length < 2 || sorted.length > MAX_CLASSES) {
    throw new DataError(
      `${where}: expected 2 to ${MAX_CLASSES} classes with the background, received ${sorted.length} ` +
        `(ids ${sorted.slice(0, 8).join(", ")}); check that these are label files`,
    );
  }
  return { ids: sorted };
}

/**
 * Class indices 0..K-1 of label ids.
 *
 * @returns the indices, or the position of the first voxel whose id is not in the table
 */
export function classesOfIds(
  labels: Uint8Array | Uint16Array,
  table: LabelTable,
): { classes: Uint8Array } | { unknownAt: number } {
  const UNKNOWN = 255;
  const classOf = new Uint8Array(65536).fill(UNKNOWN);
  for (const [index, id] of table.ids.entries()) classOf[id] = index;
  const classes = new Uint8Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    const index = classOf[labels[i] ?? 0] ?? UNKNOWN;
    if (index === UNKNOWN) return { unknownAt: i };
    classes[i] = index;
  }
  return { classes };
}

/** The way back: label ids of class indices; Uint8Array when the table has no id above 255. */
export function idsOfClasses(classes: Uint8Array, table: LabelTable): Uint8Array | Uint16Array {
  const last = table.ids.at(-1) ?? 0;
  const ids = last > 255 ? new Uint16Array(classes.length) : new Uint8Array(classes.length);
  for (let i = 0; i < classes.length; i++) ids[i] = table.ids[classes[i] ?? 0] ?? 0;
  return ids;
}
