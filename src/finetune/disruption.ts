import type { FinetuneSettings } from "../config/schema.js";
import { ignoredClass } from "../data/label-table.js";
import type { RandomStream } from "../graph/random.js";
import type { Tensor } from "../native/tensor.js";
import type { InputPlan } from "../stitch/input-plan.js";
import { NaturalImages } from "./natural-images.js";

/** Slices of a crop f32 [1, D, H, W], and their labels u8. */
export interface CropSlices {
  readonly image: Tensor;
  readonly label: Tensor;
}

/**
 * Disturbs the slices of a training crop in place, to measure what their order and company are worth (the paper's figures
 * 4 and 5).
 *
 * @param done share of the training that is over with this step, above 0 and up to 1
 */
export type Disruption = (stream: RandomStream, slices: CropSlices, done: number) => Promise<void>;

/** The disruption that the settings ask for. Throws DataError when there are no natural images. */
export function disruptionOf(
  { disruption, naturalImages }: FinetuneSettings,
  { part }: InputPlan,
): Disruption | undefined {
  if (disruption === "shuffled") return shuffle;
  if (disruption === "turned") return turn;
  if (disruption !== "natural" || naturalImages === null) return undefined;
  const images = new NaturalImages(naturalImages, [part[1], part[0]]);
  return (stream, slices, done) => mixIn(images, stream, slices, done);
}

/** Slices in random order; labels go with them. */
async function shuffle(stream: RandomStream, { image, label }: CropSlices): Promise<void> {
  const order = stream.permutation(image.shape[1] ?? 0);
  for (const data of [image.f32, label.u8]) {
    const before = data.slice();
    const size = data.length / order.length;
    for (const [to, from] of order.entries())
      data.set(before.subarray(from * size, (from + 1) * size), to * size);
  }
}

/** Each slice in one of its eight orientations, of which those that lie on their side are left out unless it is square. */
async function turn(stream: RandomStream, { image, label }: CropSlices): Promise<void> {
  const [, depth = 0, height = 0, width = 0] = image.shape;
  for (let slice = 0; slice < depth; slice++) {
    const orientation = stream.integer(height === width ? 8 : 4);
    for (const data of [image.f32, label.u8]) {
      const pixels = data.subarray(slice * height * width, (slice + 1) * height * width);
      const before = pixels.slice();
      for (let i = 0; i < pixels.length; i++) {
        const [y, x] = [Math.floor(i / width), i % width];
        const [row, column] = orientation & 4 ? [x, y] : [y, x];
        const from = orientation & 1 ? height - 1 - row : row;
        pixels[i] = before[from * width + (orientation & 2 ? width - 1 - column : column)] ?? 0;
      }
    }
  }
}

/**
 * Natural images in place of slices, at random places: all but one at the start, ever fewer, none at the end. Their
 * pixels are ignored by the loss.
 */
async function mixIn(
  images: NaturalImages,
  stream: RandomStream,
  { image, label }: CropSlices,
  done: number,
): Promise<void> {
  const depth = image.shape[1] ?? 0;
  const size = image.count / depth;
  const count = Math.min(Math.ceil(depth * (1 - done)), depth - 1);
  for (const place of stream.permutation(depth).slice(0, count)) {
    image.f32.set(await images.slice(stream.integer(images.count)), place * size);
    label.u8.fill(ignoredClass, place * size, (place + 1) * size);
  }
}
