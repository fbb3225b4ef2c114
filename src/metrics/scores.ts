import { UsageError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { Tensor } from "../native/tensor.js";
import type { ClassEvidence, Counts } from "./evidence.js";
import { defaultTolerance, type MetricScores, scoreEvidence } from "./index.js";
import { surfaceAreas } from "./surface-areas.js";

export interface ScoreOptions {
  /** Original label id of each class 0..K-1; class 0 is the background. */
  readonly labelIds: readonly number[];
  /** Voxel size in mm, (x, y, z) order; [1, 1, 1] gives distances in voxels. */
  readonly spacing: readonly [number, number, number];
  /** Distance up to which NSD counts surfaces as equal, in the unit of the spacing; default 1. */
  readonly tolerance?: number | undefined;
}

/** Scores of one class in one case. */
export interface ClassScores {
  /** Original label id. */
  readonly label: number;
  readonly counts: Counts;
  readonly metrics: MetricScores;
}

/**
 * Every metric of every class but the background, in the order of `labelIds`.
 *
 * @param prediction u8 [D, H, W] of classes 0..K-1, as is `reference`
 * @throws ShapeError when the shapes differ, DataError when a voxel is of no class
 */
export async function scoreClasses(
  prediction: Tensor,
  reference: Tensor,
  { labelIds, spacing, tolerance = defaultTolerance }: ScoreOptions,
): Promise<ClassScores[]> {
  const classes = labelIds.length;
  if (classes < 2) {
    throw new UsageError(
      `scores: expected at least 2 ids for labelIds, received ${classes}; name the background and a class`,
    );
  }
  const volumes = { prediction, reference };
  const { confusion, surfaces } = await survey(volumes, classes);
  const areas = surfaceAreas(spacing);
  const results: ClassScores[] = [];
  for (const [index, label] of labelIds.entries()) {
    if (index === 0) continue;
    const counts = countsOf(confusion, classes, index);
    const pair = { ...surfacePair(surfaces, index), label: index, spacing };
    const isInBoth = counts.nPred > 0 && counts.nRef > 0;
    const metrics = isInBoth
      ? await scoreSurfaces(volumes, pair, { counts, tolerance, areas })
      : scoreEvidence(counts, undefined);
    results.push({ label, counts, metrics });
  }
  return results;
}

/** Tensors u8 [D, H, W]. */
interface Volumes {
  readonly prediction: Tensor;
  readonly reference: Tensor;
}

function addInputs(graph: Graph, { prediction, reference }: Volumes) {
  return [
    graph.input("prediction", "u8", prediction.shape),
    graph.input("reference", "u8", reference.shape),
  ] as const;
}

/** Confusion matrix, row = reference class, column = predicted class; rows of `ops.classSurfaces` for both volumes. */
async function survey(volumes: Volumes, classes: number) {
  const graph = new Graph();
  const [prediction, reference] = addInputs(graph, volumes);
  using program = graph.compile({
    confusion: ops.overlapCounts(prediction, reference, classes),
    predicted: ops.classSurfaces(prediction, classes),
    expected: ops.classSurfaces(reference, classes),
  });
  const { confusion, predicted, expected } = await program.run({ ...volumes });
  return { confusion: [...confusion.data], surfaces: [[...predicted.data], [...expected.data]] as const };
}

function countsOf(confusion: readonly number[], classes: number, index: number): Counts {
  let nPred = 0;
  let nRef = 0;
  let total = 0;
  for (const [cell, count] of confusion.entries()) {
    total += count;
    if (cell % classes === index) nPred += count;
    if (Math.floor(cell / classes) === index) nRef += count;
  }
  const tp = confusion[index * classes + index] ?? 0;
  return { tp, fp: nPred - tp, fn: nRef - tp, tn: total - nPred - nRef + tp, nPred, nRef };
}

/** The box of a class in both volumes, and its surface elements. */
function surfacePair(
  surfaces: readonly (readonly number[])[],
  index: number,
): Pick<ops.SurfacePair, "begin" | "extents" | "counts"> {
  const rows = surfaces.map((all) => all.slice(8 * (index - 1), 8 * index));
  const both = (column: number) => rows.map((row) => row[column] ?? 0);
  const begin = [0, 1, 2].map((axis) => Math.min(...both(axis)));
  const end = [0, 1, 2].map((axis) =>
    Math.max(...rows.map((row) => (row[axis] ?? 0) + (row[3 + axis] ?? 0))),
  );
  const extents = end.map((last, axis) => last - (begin[axis] ?? 0));
  return { begin, extents, counts: [...both(6), ...both(7)] };
}

/** All metrics of a class that both volumes have. */
async function scoreSurfaces(
  volumes: Volumes,
  pair: ops.SurfacePair,
  given: Pick<ClassEvidence, "counts" | "tolerance" | "areas">,
): Promise<MetricScores> {
  const graph = new Graph();
  using program = graph.compile(ops.surfaceDistances(...addInputs(graph, volumes), pair));
  const found = await program.run({ ...volumes });
  return scoreEvidence(given.counts, {
    ...given,
    borders: {
      predictionToReference: found.borderOfA.f32,
      referenceToPrediction: found.borderOfB.f32,
    },
    cells: {
      prediction: { codes: found.codesOfA.u8, distances: found.cellsOfA.f32 },
      reference: { codes: found.codesOfB.u8, distances: found.cellsOfB.f32 },
    },
  });
}
