import { DataError } from "../errors.js";
import { Graph, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import type { Case } from "./cases.js";
import { makeLabelTable } from "./label-table.js";
import { loadCase, loadImage } from "./load-case.js";
import type { ImageVolume, Vec3 } from "./volume.js";

/** A case as training and prediction see it. */
export interface PreparedCase {
  readonly id: string;
  /** f32 [D, H, W], z-scored over the whole volume. */
  readonly image: Tensor;
  /** u8 [D, H, W], classes 0..K-1. */
  readonly label: Tensor | undefined;
  /** The image as read: its grid is the one to write results on. */
  readonly source: ImageVolume;
  /** Whether image and label were resampled to half resolution. */
  readonly halved: boolean;
}

/** How a case is prepared. */
export interface PrepareOptions {
  /** Read the label too; unlabelled cases are never opened for it. */
  needLabel: boolean;
  /** Ids of the classes, background first; needed with a label. */
  labelIds: readonly number[] | undefined;
  /** 2x2x2 mean of the image, majority of the label. */
  halve: boolean;
}

const memoryShape = ([x, y, z]: Vec3): [number, number, number] => [z, y, x];

/**
 * Reads a case, resamples it when asked and z-scores the image (after resampling).
 * Throws DataError naming the file.
 */
export async function prepareCase(entry: Case, options: PrepareOptions): Promise<PreparedCase> {
  if (!options.needLabel) {
    const source = await loadImage(entry);
    return {
      id: entry.id,
      image: await prepareImage(source, options.halve),
      label: undefined,
      source,
      halved: options.halve,
    };
  }
  if (options.labelIds === undefined)
    throw new DataError(
      `case '${entry.id}': expected the ids of its classes, received none; give labelled cases`,
    );
  const loaded = await loadCase(entry, makeLabelTable(options.labelIds, `case '${entry.id}'`));
  const shape = memoryShape(loaded.image.shape);
  const label = Tensor.from("u8", shape, loaded.label.data);
  return {
    id: entry.id,
    image: await prepareImage(loaded.image, options.halve),
    label: options.halve ? await halveLabel(label) : label,
    source: loaded.image,
    halved: options.halve,
  };
}

/** z-scored image tensor f32 [D, H, W] of a volume. */
export async function prepareImage(volume: ImageVolume, halve: boolean): Promise<Tensor> {
  const image = Tensor.from("f32", memoryShape(volume.shape), volume.data);
  return runOnce(image, (x) => ops.standardize(halve ? ops.downsampleMean(x) : x));
}

/** Majority of 2x2x2 blocks of labels u8 [D, H, W], as the labels of cases are halved; the input is disposed. */
export function halveLabel(label: Tensor): Promise<Tensor> {
  return runOnce(label, ops.downsampleMajority);
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
