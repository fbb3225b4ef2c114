import { DataError, UsageError } from "../errors.js";
import { Graph, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import { type Box, type CaseGeometry, isWhole } from "./case-geometry.js";
import type { Case } from "./cases.js";
import type { Relabelling } from "./label-table.js";
import { loadCase, loadChannels } from "./load-case.js";
import { type PreprocessingPlan, plainPlan, planGeometry } from "./preprocessing-plan.js";
import { resizeImage, resizeLabels } from "./resize.js";
import type { ImageVolume, Vec3 } from "./volume.js";

/** An image as a network sees it. */
export interface PreparedImage {
  /** f32 [D, H, W], z-scored over all that is seen; of several channels the one that SAM sees and pictures show. */
  readonly image: Tensor;
  /** How it was made of its file: the grid to write results on, and the way there. */
  readonly geometry: CaseGeometry;
}

/** A case as training and prediction see it. */
export interface PreparedCase extends PreparedImage {
  readonly id: string;
  /** The image's channels, each as `image`, which is one of them: what a segmenter sees. */
  readonly channels: readonly Tensor[];
  /** u8 [D, H, W], classes 0..K-1, 255 ignored. */
  readonly label: Tensor | undefined;
}

/**
 * Where an image shows something, in its voxels, by its channels alone: what a plan with a locator crops to; undefined:
 * nowhere. `entry`: whose image it is, for messages.
 */
export type Locate = (channels: readonly ImageVolume[], entry: Case) => Promise<Box | undefined>;

/** How a case is prepared. */
export interface PrepareOptions {
  /** Read the label too; unlabelled cases are never opened for it. */
  needLabel: boolean;
  /** Ids of the classes, background first; needed with a label. */
  labelIds: readonly number[] | undefined;
  /** Ids of the label that count as others. */
  relabel?: Relabelling | undefined;
  plan: PreprocessingPlan;
  /** The plan's locator, where it has one. */
  locate?: Locate | undefined;
  /** The channel that SAM sees, from 0; default 0. */
  samChannel?: number;
}

const memoryShape = ([x, y, z]: Vec3): [number, number, number] => [z, y, x];

/** Reads a case and treats it as the plan says. Throws DataError naming the file. */
export async function prepareCase(entry: Case, options: PrepareOptions): Promise<PreparedCase> {
  const { id } = entry;
  const { labelIds, relabel } = options;
  if (!options.needLabel)
    return { id, label: undefined, ...(await prepareChannels(entry, await loadChannels(entry), options)) };
  if (labelIds === undefined)
    throw new DataError(`case '${id}': expected the ids of its classes, received none; give labelled cases`);
  const { channels, label } = await loadCase(entry, { ids: labelIds, relabel });
  const prepared = await prepareChannels(entry, channels, options);
  return { id, ...prepared, label: await prepareLabel(label.data, prepared.geometry) };
}

/**
 * The channels of an image as the plan treats them; where it crops by intensity, SAM's decides.
 *
 * @throws DataError as planGeometry, and when there is no such channel; UsageError when the plan's locator is not given
 */
export async function prepareChannels(
  entry: Case,
  volumes: readonly ImageVolume[],
  { plan, locate, samChannel = 0 }: Pick<PrepareOptions, "plan" | "locate" | "samChannel">,
): Promise<Pick<PreparedCase, "channels" | "image" | "geometry">> {
  const seen = volumes[samChannel];
  if (seen === undefined)
    throw new DataError(
      `${entry.image}: expected more than ${samChannel} channels for data.samChannel, received ${volumes.length}; ` +
        "choose one that there is, from 0",
    );
  if (plan.locator !== undefined && locate === undefined)
    throw new UsageError(
      `case '${entry.id}': expected the locator that the plan crops by, received none; load it with the plan`,
    );
  const found = plan.locator === undefined ? undefined : await locate?.(volumes, entry);
  const { image, geometry } = await prepareImage(seen, plan, entry.id, found);
  const channels: Tensor[] = [];
  for (const volume of volumes)
    channels.push(volume === seen ? image : await treated(volume, plan, geometry));
  return { channels, image, geometry };
}

/**
 * An image of one channel as the plan treats it.
 *
 * @param name of the case, for messages
 * @param found where the plan's locator sees something
 * @throws DataError as planGeometry
 */
export async function prepareImage(
  volume: ImageVolume,
  plan: PreprocessingPlan = plainPlan,
  name = "image",
  found?: Box,
): Promise<PreparedImage> {
  const geometry = planGeometry(plan, volume, name, found);
  return { image: await treated(volume, plan, geometry), geometry };
}

async function treated(
  volume: ImageVolume,
  { window }: PreprocessingPlan,
  geometry: CaseGeometry,
): Promise<Tensor> {
  const { source, crop, restores } = geometry;
  const to = resized(geometry);
  const data = window === null ? volume.data : clamped(volume.data, window);
  const seen = keepsVoxels(geometry) ? data : resizeImage(data, source.shape, crop, to);
  const build = (x: Value) => ops.standardize(restores ? x : ops.downsampleMean(x));
  return runOnce(Tensor.from("f32", memoryShape(to), seen), build);
}

/** Extents before blocks are made to single voxels, for half resolution; otherwise those that are seen. */
const resized = ({ crop, shape, restores }: CaseGeometry): Vec3 => (restores ? shape : crop.shape);

/** Whether all voxels of the file stay as they are until then. */
const keepsVoxels = (geometry: CaseGeometry): boolean => isWhole({ ...geometry, shape: resized(geometry) });

function clamped(data: Float32Array, [low, high]: readonly [number, number]): Float32Array {
  return data.map((value) => Math.min(Math.max(value, low), high));
}

/**
 * Classes of a case's file [z][y][x] as its image was treated, u8 [D, H, W]: interpolated class by class, or, for half
 * resolution, the most frequent one of each block.
 */
export async function prepareLabel(classes: Uint8Array, geometry: CaseGeometry): Promise<Tensor> {
  const { source, crop, restores } = geometry;
  const to = resized(geometry);
  const seen = keepsVoxels(geometry) ? classes : resizeLabels(classes, source.shape, crop, to);
  const label = Tensor.from("u8", memoryShape(to), seen);
  return restores ? label : runOnce(label, ops.downsampleMajority);
}

/** Runs a graph of one input once; the input tensor is disposed. */
async function runOnce(input: Tensor, build: (x: Value) => Value): Promise<Tensor> {
  const graph = new Graph();
  using program = graph.compile({ y: build(graph.input("x", input.dtype, input.shape)) });
  const { y } = await program.run({ x: input });
  const result = Tensor.from(y.dtype, y.shape, y.data);
  input.dispose();
  return result;
}
