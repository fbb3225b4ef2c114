import { mkdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Voxels } from "../config/schema.js";
import { type CaseGeometry, isWhole, resultGrid } from "../data/case-geometry.js";
import { describeReadError } from "../data/formats/byte-stream.js";
import { formatOf } from "../data/formats/index.js";
import type { Grid } from "../data/grid-match.js";
import { idsOfClasses } from "../data/label-table.js";
import { imageFiles } from "../data/layouts/layout.js";
import { loadChannels } from "../data/load-case.js";
import { prepareChannels } from "../data/prepare.js";
import { writeFractions, writeLabels } from "../data/volume-file.js";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { hashFiles } from "../io/hash-files.js";
import { encodePng } from "../io/png.js";
import type { Tensor } from "../native/tensor.js";
import { runWindows, type SlidingWindowOptions, type SummedWindows } from "../predict/sliding-window.js";
import type { KeptMaps, VolumeLabels } from "../predict/volume-labels.js";
import { segmentsOfLegend } from "../run/label-legend.js";
import { caseFile } from "../run/stage.js";
import { renderOverlay } from "../viewer/overlay.js";
import type { BatchCase } from "./cases.js";
import type { BatchRecord } from "./manifest.js";
import type { BatchModel } from "./model.js";
import { type PostProcessing, postProcess } from "./postprocess.js";

/** How cases are labelled. */
export interface BatchSettings {
  /** Which volume of 4D images is labelled, from 0; null: all, as channels. */
  readonly frame: number | null;
  /** Step between windows, voxels (x, y, z); null: the network's usual one. */
  readonly stride: Voxels | null;
  readonly weighting: NonNullable<SlidingWindowOptions["weighting"]>;
  readonly mirror: boolean;
  /** Maps that are written beside the labels. */
  readonly maps: KeptMaps;
  readonly post: PostProcessing;
}

/** Where things of a batch lie, relative to its folder. */
export const batchPaths = {
  manifest: "manifest",
  claims: "manifest/claims",
  ranking: "ranking.csv",
  review: "review.html",
  labels: ({ id, image }: BatchCase): string => caseFile(id, formatOf(image).resultExtension),
  confidence: (id: string): string => join("confidence", caseFile(id, ".nii.gz")),
  probability: (id: string, label: number): string =>
    join("probabilities", caseFile(id, ""), `${label}.nii.gz`),
  picture: (id: string): string => join("pictures", caseFile(id, ".png")),
} as const;

/** A case in memory. */
export interface ReadCase {
  readonly entry: BatchCase;
  /** f32 [D, H, W] each, as the network sees them. */
  readonly channels: readonly Tensor[];
  /** The channel that SAM sees and pictures show. */
  readonly image: Tensor;
  readonly geometry: CaseGeometry;
  /** Intensities on the grid of the results, for the picture; undefined when they are those of `image`. */
  readonly shown: Float32Array | undefined;
  readonly source: NonNullable<BatchRecord["source"]>;
  /** Seconds. */
  readonly seconds: number;
}

/** What identifies the content of files without reading them. @throws DataError when there is no such file */
export async function fileState(paths: readonly string[]): Promise<{ bytes: number; modified: number }> {
  const state = { bytes: 0, modified: 0 };
  for (const path of paths) {
    try {
      const { size, mtimeMs } = await stat(path);
      state.bytes += size;
      state.modified = Math.max(state.modified, mtimeMs);
    } catch (error) {
      throw describeReadError(path, error);
    }
  }
  return state;
}

/** Reads a case and prepares its image. @throws DataError naming the file */
export async function readCase(
  entry: BatchCase,
  { frame }: Pick<BatchSettings, "frame">,
  { card, locator }: Pick<BatchModel, "card" | "locator">,
  signal?: AbortSignal,
): Promise<ReadCase> {
  const { plan, channels: expected, samChannel } = card;
  const start = performance.now();
  const sha256 = await hashFiles(imageFiles(entry), signal);
  const state = await fileState(imageFiles(entry));
  const volumes = await loadChannels({ ...entry, ...(frame !== null && { frame }) });
  if (volumes.length !== expected)
    throw new DataError(
      `${entry.image}: expected ${expected} channels as the network was trained on, received ${volumes.length}; ` +
        "give volumes with the channels of the training, as a data set or as 4D files",
    );
  const { channels, image, geometry } = await prepareChannels(entry, volumes, {
    ...{ plan, samChannel },
    locate: locator?.locate,
  });
  return {
    entry,
    channels,
    image,
    geometry,
    shown: geometry.restores && !isWhole(geometry) ? volumes[samChannel]?.data : undefined,
    source: { sha256, ...state },
    seconds: (performance.now() - start) / 1000,
  };
}

/** Runs the network over a case. @throws CancelledError */
export function labelCase(
  { channels, image, geometry }: ReadCase,
  { network, seesAll }: BatchModel,
  { stride, weighting, mirror, maps }: BatchSettings,
  options: Pick<SlidingWindowOptions, "signal" | "onBegin">,
): Promise<SummedWindows> {
  const seen = seesAll ? channels : image;
  return runWindows(seen, network, { stride, weighting, mirror, maps, geometry, ...options });
}

/** What is written for a case. */
export type WrittenCase = Pick<BatchRecord, "labels" | "volumes" | "volumeUnit">;

/**
 * Cleans the labels and writes them with their maps and picture.
 *
 * @param out folder of the batch
 * @throws DataError when a file cannot be written
 */
export async function writeCase(
  out: string,
  { entry, image, geometry, shown }: ReadCase,
  result: VolumeLabels,
  { card }: Pick<BatchModel, "card">,
  { post }: Pick<BatchSettings, "post">,
  withPicture: boolean,
): Promise<WrittenCase> {
  const grid = resultGrid(geometry);
  const spacing = grid.spacing ?? [1, 1, 1];
  const voxelVolume = spacing[0] * spacing[1] * spacing[2];
  await postProcess(result.labels, post, voxelVolume);
  const data = idsOfClasses(result.labels.u8, { ids: card.labelIds });
  const labels = batchPaths.labels(entry);
  // Side by side: most of the time is the disk's.
  await Promise.all([
    writeLabels(join(out, labels), { ...grid, data }, grid, segmentsOfLegend(card)),
    writeMaps(out, entry.id, grid, result, card.labelIds),
    withPicture ? writePicture(out, entry.id, shown ?? image.f32, grid, data) : undefined,
  ]);
  const counts = new Float64Array(result.classes);
  for (const label of result.labels.u8) counts[label] = (counts[label] ?? 0) + 1;
  const volumes = card.labelIds.flatMap((id, k) =>
    k === 0 ? [] : [[String(id), (counts[k] ?? 0) * voxelVolume] as const],
  );
  return {
    labels,
    volumes: Object.fromEntries(volumes),
    volumeUnit: grid.spacing === null ? "voxel" : "mm3",
  };
}

/** Removes what an earlier start has left of a case, so that it cannot pass for this one's. */
export async function removeResults(out: string, entry: BatchCase): Promise<void> {
  const { id } = entry;
  const paths = [
    batchPaths.labels(entry),
    batchPaths.confidence(id),
    join("probabilities", caseFile(id, "")),
    batchPaths.picture(id),
  ];
  for (const path of paths) await rm(join(out, path), { recursive: true, force: true });
}

async function writeMaps(
  out: string,
  id: string,
  grid: Grid,
  { confidence, probabilities }: VolumeLabels,
  labelIds: readonly number[],
): Promise<void> {
  if (confidence !== undefined)
    await writeFractions(await placeFor(out, batchPaths.confidence(id)), { ...grid, data: confidence }, grid);
  for (const [k, data] of probabilities.entries()) {
    const path = batchPaths.probability(id, labelIds[k] ?? 0);
    await writeFractions(await placeFor(out, path), { ...grid, data }, grid);
  }
}

async function writePicture(
  out: string,
  id: string,
  image: Float32Array,
  { shape }: Grid,
  labels: Uint8Array | Uint16Array,
): Promise<void> {
  const { pixels, width, height, channels } = renderOverlay({
    image,
    size: shape,
    prediction: labels,
  });
  const png = encodePng(pixels, width, height, channels);
  await writeFileAtomic(await placeFor(out, batchPaths.picture(id)), png);
}

/** Path of a file whose folder is then there. */
async function placeFor(out: string, path: string): Promise<string> {
  const file = join(out, path);
  await mkdir(dirname(file), { recursive: true });
  return file;
}
