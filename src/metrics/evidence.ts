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

/** Cells of eight voxels at the border of a class in one volume. */
export interface SurfaceCells {
  /** Which voxels of each cell are of the class (`ops.surfaceDistances`). */
  readonly codes: Uint8Array;
  /** Of each cell to the nearest one of the other volume, in the unit of the spacing. */
  readonly distances: Float32Array;
}

/** What the scores of a class that both volumes have are computed from. */
export interface ClassEvidence {
  readonly counts: Counts;
  readonly borders: BorderDistances;
  readonly cells: { readonly prediction: SurfaceCells; readonly reference: SurfaceCells };
  /** Area of the surface in a cell by its code (`surfaceAreas`). */
  readonly areas: Float32Array;
  /** Distance up to which surfaces count as equal, in the unit of the spacing. */
  readonly tolerance: number;
}
