/** What the scores of one class in one case are computed from. */
export interface ClassEvidence {
  /** Voxels that are of the class in both volumes, in the prediction only, in the reference only. */
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  /**
   * Distance of every border voxel of the prediction to the nearest border voxel of the reference, in the unit of
   * the spacing; undefined when either volume lacks the class.
   */
  readonly predictionToReference: Float32Array | undefined;
  /** The same from the reference to the prediction. */
  readonly referenceToPrediction: Float32Array | undefined;
}
