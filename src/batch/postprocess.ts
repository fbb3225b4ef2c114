import { Graph, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { Tensor } from "../native/tensor.js";

/** What is done to labels after the network. */
export interface PostProcessing {
  /** Of each class only the largest 26-connected component stays. */
  readonly largestComponent: boolean;
  /** Holes that one class alone encloses become that class. */
  readonly fillHoles: boolean;
  /** Components below this volume become background, mm3 (voxels where the spacing is unknown); null: none do. */
  readonly minVolume: number | null;
}

/**
 * Cleans labels u8 [D, H, W] in place: small components go first, then all but the largest, then holes are filled.
 *
 * @param voxelVolume mm3
 */
export async function postProcess(
  labels: Tensor,
  { largestComponent, fillHoles, minVolume }: PostProcessing,
  voxelVolume: number,
): Promise<void> {
  // A component of exactly the volume stays, whatever the rounding of the spacing.
  const voxels = minVolume === null ? 1 : Math.ceil(minVolume / voxelVolume - 1e-6);
  const steps: ((labels: Value) => Value)[] = [
    ...(voxels > 1 ? [(x: Value) => ops.dropSmallComponents(x, voxels)] : []),
    ...(largestComponent ? [ops.largestComponent] : []),
    ...(fillHoles ? [ops.fillHoles] : []),
  ];
  if (steps.length === 0) return;
  const graph = new Graph();
  const x = graph.input("labels", "u8", labels.shape);
  const sample = ops.reshape(x, [1, ...labels.shape]);
  using program = graph.compile({ cleaned: steps.reduce((value, step) => step(value), sample) });
  const { cleaned } = await program.run({ labels });
  labels.u8.set(cleaned.u8);
}
