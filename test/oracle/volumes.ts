/** The segmenters' batch: images [4, 1, H, W, D] (N, C, H, W, D), their labels, and pseudo-labels of the last two. */

import type { Voxels } from "../../src/config/schema.js";
import { Tensor } from "../../src/native/tensor.js";
import { labelOrder, permute, volumeOrder } from "./axes.js";
import { checkerLabel, image, slabImage } from "./inputs.js";

const classes = 3;
/** Extents along H, W, D = x, y, z, unless a case has others. */
const usualSize: Voxels = [48, 32, 16];

/** Shape of the images in memory: [N, z, y, x, 1]. */
const shapeOf = ([x, y, z]: Voxels): readonly number[] => [4, z, y, x, 1];
export const batchShape = shapeOf(usualSize);

/** Images, in slabs for networks with instance-norm, labels of all four samples, and pseudo-labels of samples 2 and 3. */
export function volumeBatch({ size = usualSize, slabs = false } = {}): {
  images: Tensor;
  labels: Tensor;
  pseudoLabels: Tensor;
} {
  const [memoryShape, torchBatchShape] = [shapeOf(size), [4, 1, ...size]];
  const label = checkerLabel([4, ...size], classes, 8);
  const pseudo = checkerLabel([2, ...size], classes, 8, 2);
  const values = (slabs ? slabImage : image)("volume", label, torchBatchShape);
  const labelTensor = (labels: Uint8Array, samples: number) =>
    Tensor.from("u8", [samples, ...memoryShape.slice(1, 4)], permute(labels, [samples, ...size], labelOrder));
  return {
    images: Tensor.from("f32", memoryShape, permute(values, torchBatchShape, volumeOrder)),
    labels: labelTensor(label, 4),
    pseudoLabels: labelTensor(pseudo, 2),
  };
}

/** Logits [N, z, y, x, K] of a program as PyTorch orders them: [N, K, x, y, z]. */
export function logitsOf(logits: Tensor | undefined): Float32Array {
  // [N, z, y, x, K] and [N, K, x, y, z] turn into each other by the same reordering.
  return logits === undefined ? new Float32Array() : permute(logits.f32, logits.shape, volumeOrder);
}
