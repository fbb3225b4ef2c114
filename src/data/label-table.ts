import { DataError } from "../errors.js";
import type { Rgb } from "./segments.js";

/** Class of voxels that belong to none: losses and scores leave them out. */
export const ignoredClass = 255;

/** Class of canvas pixels that no slice covers; the loss counts them as the authors' code does (ops.segmentationLoss). */
export const gapClass = 254;

/** Classes are numbered 0..K-1 by position in the table of ids, below the marks that are no class. */
const MAX_CLASSES = gapClass;

/** Label ids that count as another id, or as none. */
export type Relabelling = Readonly<Record<string, number | "ignore">>;

/** A relabelling with a data set's own id of voxels to ignore, where it has one. */
export function withIgnored(ignore: number | undefined, relabel: Relabelling = {}): Relabelling {
  return ignore === undefined ? relabel : { [ignore]: "ignore", ...relabel };
}

/** Which label id each class stands for: ids rise, class 0 is id 0, the background. */
export interface LabelTable {
  readonly ids: readonly number[];
  /** Further ids that are read. */
  readonly relabel?: Relabelling | undefined;
}

/**
 * Makes a table of the ids that occur or are named, once they are relabelled; 0 is always in it.
 *
 * @param where for messages
 * @throws DataError when fewer than 2 or more than 254 classes come out, or an id is no integer in 0..65535
 */
export function makeLabelTable(ids: Iterable<number>, where: string, relabel: Relabelling = {}): LabelTable {
  const sorted = [...new Set([0, ...relabelledIds(ids, relabel)])].sort((a, b) => a - b);
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
  return { ids: sorted, relabel };
}

/** Ids once they are relabelled; those that are ignored are gone. */
export function relabelledIds(ids: Iterable<number>, relabel: Relabelling): number[] {
  return [...ids].flatMap((id) => {
    const to = relabel[id] ?? id;
    return to === "ignore" ? [] : [to];
  });
}

/** Names by label id once ids are relabelled; where several become one, all their names. */
export function relabelNames(
  names: Readonly<Record<string, string>>,
  relabel: Relabelling,
): Record<string, string> {
  const joined: Record<string, string> = {};
  for (const [id, name] of Object.entries(names)) {
    const to = relabel[id] ?? Number(id);
    // What became background lends it no name.
    if (to === "ignore" || (to === 0 && Number(id) !== 0)) continue;
    const before = joined[to];
    joined[to] = before === undefined ? name : `${before} + ${name}`;
  }
  return joined;
}

/** Colours by label id once ids are relabelled; where several become one, that of the one that was it before. */
export function relabelColors(
  colors: Readonly<Record<string, Rgb>>,
  relabel: Relabelling,
): Record<string, Rgb> {
  const kept: Record<string, Rgb> = {};
  for (const [id, color] of Object.entries(colors)) {
    const to = relabel[id] ?? Number(id);
    if (to === "ignore" || to === 0) continue;
    if (kept[to] === undefined || relabel[id] === undefined) kept[to] = color;
  }
  return kept;
}

/**
 * Class indices 0..K-1 of label ids, or ignoredClass.
 *
 * @returns the indices, or the position of the first voxel whose id is not in the table
 */
export function classesOfIds(
  labels: Uint8Array | Uint16Array,
  table: LabelTable,
): { classes: Uint8Array } | { unknownAt: number } {
  const UNKNOWN = 256;
  const classOf = new Uint16Array(65536).fill(UNKNOWN);
  for (const [index, id] of table.ids.entries()) classOf[id] = index;
  const others = Object.entries(table.relabel ?? {}).map(
    ([id, to]) => [Number(id), to === "ignore" ? ignoredClass : (classOf[to] ?? UNKNOWN)] as const,
  );
  for (const [id, index] of others) classOf[id] = index;
  const classes = new Uint8Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    const index = classOf[labels[i] ?? 0] ?? UNKNOWN;
    if (index === UNKNOWN) return { unknownAt: i };
    classes[i] = index;
  }
  return { classes };
}

/** Makes background of voxels without a class, in the reference and in the prediction. */
export function leaveOutIgnored(reference: Uint8Array, prediction: Uint8Array): void {
  for (let i = 0; i < reference.length; i++) {
    if (reference[i] === ignoredClass) reference[i] = prediction[i] = 0;
  }
}

/** The way back: label ids of class indices; Uint8Array when the table has no id above 255. */
export function idsOfClasses(classes: Uint8Array, table: LabelTable): Uint8Array | Uint16Array {
  const last = table.ids.at(-1) ?? 0;
  const ids = last > 255 ? new Uint16Array(classes.length) : new Uint8Array(classes.length);
  for (let i = 0; i < classes.length; i++) ids[i] = table.ids[classes[i] ?? 0] ?? 0;
  return ids;
}
