import type { ClassEvidence } from "./evidence.js";

/** Hausdorff distance, medpy's `hd`: the largest surface distance of either direction. */
export function hd({ borders }: ClassEvidence): number {
  return Math.max(largest(borders.predictionToReference), largest(borders.referenceToPrediction));
}

function largest(distances: Float32Array): number {
  let most = 0;
  for (let i = 0; i < distances.length; i++) most = Math.max(most, distances[i] ?? 0);
  return most;
}
