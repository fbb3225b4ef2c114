import type { Voxels } from "../config/schema.js";
import { Cropper, drawCrop } from "../data/augment.js";
import type { PreparedCase } from "../data/prepare.js";
import { CancelledError, DataError, UsageError } from "../errors.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { RandomStream } from "../graph/random.js";
import type { Progress } from "../io/progress.js";
import { type DensityPair, densityPair, type FeatureVectors } from "../metrics/density.js";
import { Tensor } from "../native/tensor.js";
import { readSegmenter, type SegmenterFile } from "../predict/segmenter.js";
import { CaseStore } from "./case-store.js";
import { findModel } from "./find-model.js";

export interface FeatureOptions {
  /** Crops of labelled cases, and as many of unlabelled ones. */
  readonly crops: number;
  readonly seed: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Most voxels that are taken of a crop: neighbours say the same. */
const voxelsPerCrop = 128;

/**
 * Densities of the features of labelled (first) and unlabelled (second) training crops under a trained segmenter, along
 * their first principal component. Features are those of the voxels that the segmenter calls foreground, in the map that
 * its head reads.
 *
 * @param path an arm's folder of a run, or its weights in it
 * @returns undefined when one of the two sets has no foreground
 * @throws UsageError when no run lies around the weights; DataError when they are no segmenter's or cases cannot be read
 */
export async function featureDensity(
  path: string,
  options: FeatureOptions,
): Promise<DensityPair | undefined> {
  const { progress, signal } = options;
  const { weightsPath, config } = await findModel(path);
  if (config === undefined)
    throw new UsageError(
      `${path}: expected an arm of a run, received weights without its run.json; name runs/<name>/arms/<arm>`,
    );
  await using cases = await CaseStore.open(config, () => {}, signal);
  const [labelled, unlabelled] = [await cases.labelled(), await cases.unlabelled()];
  if (unlabelled.length === 0)
    throw new DataError(`${path}: expected a run with unlabelled cases, received none; choose another run`);
  using source = await FeatureSource.open(weightsPath);
  progress.begin(`features of ${path}`, 2 * options.crops, 0, "crops");
  const start = performance.now();
  const first = await source.vectorsOf("labelled", labelled, options, 0);
  const second = await source.vectorsOf("unlabelled", unlabelled, options, options.crops);
  progress.end((performance.now() - start) / 1000);
  return densityPair(first, second);
}

/** A segmenter with the map that its head reads. */
class FeatureSource implements Disposable {
  private readonly input: Tensor;
  private readonly cropper: Cropper;

  private constructor(
    private readonly segmenter: SegmenterFile,
    private readonly program: Program<"map" | "labels">,
    private readonly patch: Voxels,
    inputChannels: number,
  ) {
    this.input = Tensor.zeros("f32", [1, patch[2], patch[1], patch[0], inputChannels]);
    this.cropper = new Cropper(patch);
  }

  static async open(weightsPath: string): Promise<FeatureSource> {
    const segmenter = await readSegmenter(weightsPath);
    const { patch, channels } = segmenter.metadata;
    const graph = new Graph();
    const x = graph.input("x", "f32", [1, patch[2], patch[1], patch[0], channels]);
    const { map, logits } = segmenter.features(graph, x);
    const program = graph.compile({ map, labels: ops.argmax(logits) });
    return new FeatureSource(segmenter, program, patch, channels);
  }

  /** Vectors of foreground voxels of crops, the cases taking turns. `done`: crops before these, for the progress. */
  async vectorsOf(
    name: string,
    cases: readonly PreparedCase[],
    { crops, seed, progress, signal }: FeatureOptions,
    done: number,
  ): Promise<FeatureVectors> {
    const values: number[] = [];
    let channels = 1;
    for (let crop = 0; crop < crops; crop++) {
      if (signal.aborted) throw new CancelledError("features: stopped on request; nothing was written");
      const entry = cases[crop % cases.length];
      if (entry === undefined) break;
      const stream = new RandomStream(seed, crop, `features/${name}`);
      const [depth = 0, height = 0, width = 0] = entry.image.shape;
      const draw = drawCrop(stream, [width, height, depth], this.patch, false);
      await this.cropper.channelsInto(this.input, 0, entry.channels, draw);
      const { map, labels } = await this.program.run({ x: this.input }, signal);
      channels = map.shape.at(-1) ?? 1;
      addVectors(values, map, labels, stream);
      progress.update(done + crop + 1);
    }
    return { values: Float32Array.from(values), channels };
  }

  [Symbol.dispose](): void {
    this.program.dispose();
    this.cropper.dispose();
    this.input.dispose();
    this.segmenter.weights.dispose();
  }
}

/** Adds the vectors of some foreground voxels, drawn with replacement, of a map f32 [1, D, H, W, channels]. */
function addVectors(values: number[], map: Tensor, labels: Tensor, stream: RandomStream): void {
  const channels = map.shape.at(-1) ?? 1;
  const foreground = [...labels.u8.entries()].flatMap(([voxel, label]) => (label > 0 ? [voxel] : []));
  const features = map.f32;
  for (let i = 0; i < Math.min(voxelsPerCrop, foreground.length); i++) {
    const voxel = foreground[stream.integer(foreground.length)] ?? 0;
    for (let c = 0; c < channels; c++) values.push(features[voxel * channels + c] ?? 0);
  }
}
