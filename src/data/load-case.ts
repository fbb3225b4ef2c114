import { DataError } from "../errors.js";
import type { Case } from "./cases.js";
import { type Grid, gridDifference } from "./grid-match.js";
import { classesOfIds, type LabelTable, makeLabelTable, type Relabelling } from "./label-table.js";
import { voxelInFile } from "./orientation.js";
import { type Segment, segmentsOf } from "./segments.js";
import type { LabelledCase, UnlabelledCase } from "./splits.js";
import type { ImageVolume, LabelVolume, Volume } from "./volume.js";
import { readChannels, readImage, readLabels } from "./volume-file.js";

/** A case in memory with its label. */
export interface LoadedCase {
  readonly id: string;
  /** The image, channel by channel; at least one. */
  readonly channels: readonly ImageVolume[];
  /** Class indices 0..K-1 by the table that was given, 255 ignored; shape, spacing and grid are the image's. */
  readonly label: Volume<Uint8Array>;
}

/**
 * Reads the image of a case, channel by channel, from files of their own or from the fourth axis of one (of which a
 * chosen frame is the only channel); intensities as
 * stored, no normalisation.
 *
 * @throws DataError when a file cannot be read or the channels' grids differ
 */
export async function loadChannels({ image, further = [], frame }: UnlabelledCase): Promise<ImageVolume[]> {
  if (further.length === 0) return readChannels(image, frame);
  const first = await readImage(image, frame);
  const channels = [first];
  for (const path of further) {
    const channel = await readImage(path, frame);
    refuseOtherGrid(path, image, first, channel, "resample the channels of a case to one grid");
    channels.push(channel);
  }
  return channels;
}

function refuseOtherGrid(path: string, image: string, expected: Grid, received: Grid, cure: string): void {
  const difference = gridDifference(expected, received);
  if (difference === null) return;
  throw new DataError(
    `${path}: expected ${difference.expected} as ${image} has, received ${difference.received}; ${cure}`,
  );
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
  const channels = await loadChannels(entry);
  const [image] = channels;
  if (image === undefined) throw new DataError(`${entry.image}: expected an image, received no channel`);
  const ids = await loadLabelIds(entry);
  const path = entry.label ?? entry.id;
  refuseOtherGrid(path, entry.image, image, ids, "give the label of this image");
  const mapped = classesOfIds(ids.data, table);
  if ("unknownAt" in mapped) {
    throw new DataError(
      `${path}: expected label ids ${table.ids.join(", ")}, received ${ids.data[mapped.unknownAt]} at voxel ` +
        `(${voxelInFile(mapped.unknownAt, ids).join(", ")}); correct the label or the table of ids`,
    );
  }
  return { id: entry.id, channels, label: { ...image, data: mapped.classes } };
}

/**
 * The table of all ids that occur in the labels of these cases, relabelled, and what the label files themselves say of
 * the ids in them: of each the first word.
 *
 * @throws DataError
 */
export async function discoverLabels(
  cases: readonly LabelledCase[],
  relabel: Relabelling = {},
): Promise<{ table: LabelTable; segments: readonly Segment[] }> {
  const ids = new Set<number>();
  const segments = new Map<number, Segment>();
  for (const entry of cases) {
    const { data, grid } = await loadLabelIds(entry);
    const seen = new Uint8Array(65536);
    for (let i = 0; i < data.length; i++) seen[data[i] ?? 0] = 1;
    for (const [id, flag] of seen.entries()) if (flag) ids.add(id);
    for (const segment of segmentsOf(grid?.header))
      if (!segments.has(segment.id)) segments.set(segment.id, segment);
  }
  const table = makeLabelTable(ids, `labels of ${cases.map((entry) => entry.id).join(", ")}`, relabel);
  return { table, segments: [...segments.values()] };
}
