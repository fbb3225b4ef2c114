/** Voxels of one class in one case: true and false positives and negatives, predicted and reference voxels. */
export interface Counts {
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  readonly tn: number;
  readonly nPred: number;
  readonly nRef: number;
}

/** Distances of the borders of a class in two volumes, in the unit of the spacing. */
export interface BorderDistances {
  /** Of every border voxel of the prediction to the nearest border voxel of the reference. */
  readonly predictionToReference: Float32Array;
  /** The same from the reference to the prediction. */
  readonly referenceToPrediction: Float32Array;
}

/** Surface of a class in one volume. */
export interface Surface {
  /** Of its elements, in mm^2 (voxel faces where the spacing is not known). */
  readonly areas: Float32Array;
  /** Of its elements to the nearest one of the other volume's surface. */
  readonly distances: Float32Array;
}

/** What the scores of a class that both volumes have are computed from. */
export interface ClassEvidence {
  readonly counts: Counts;
  readonly borders: BorderDistances;
  readonly surfaces: { readonly prediction: Surface; readonly reference: Surface };
  /** Distance up to which surfaces count as equal, in the unit of the spacing. */
  readonly tolerance: number;
}
