import { UsageError } from "../errors.js";
import { Graph, type Program } from "../graph/graph.js";
import { overlapCounts, surfaceDistance } from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import type { ClassEvidence } from "./evidence.js";
import { type MetricScores, scoreEvidence } from "./index.js";

export interface ScoreOptions {
  /** Original label id of each class 0..K-1; class 0 is the background. */
  readonly labelIds: readonly number[];
  /** Voxel size in mm, (x, y, z) order; [1, 1, 1] gives distances in voxels. */
  readonly spacing: readonly [number, number, number];
}

/** Scores of one class in one case. */
export interface ClassResult extends MetricScores {
  /** Original label id. */
  readonly label: number;
  /** Voxel counts: true and false positives and negatives, predicted and reference voxels. */
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  readonly tn: number;
  readonly nPred: number;
  readonly nRef: number;
}

/**
 * Dice, Jaccard, HD95 and ASD (medpy's definitions) of every class but the background, in the order of `labelIds`.
 *
 * @param prediction u8 [D, H, W] of classes 0..K-1, as is `reference`
 * @throws ShapeError when the shapes differ, DataError when a voxel is of no class
 */
export async function scoreClasses(
  prediction: Tensor,
  reference: Tensor,
  options: ScoreOptions,
): Promise<ClassResult[]> {
  const classes = options.labelIds.length;
  if (classes < 2) {
    throw new UsageError(
      `scores: expected at least 2 ids for labelIds, received ${classes}; name the background and a class`,
    );
  }
  const confusion = await countOverlaps(prediction, reference, classes);
  using surfaces = buildSurfaces(reference.shape, options.spacing);
  const results: ClassResult[] = [];
  for (const [index, label] of options.labelIds.entries()) {
    if (index === 0) continue;
    const counts = countsOf(confusion, classes, index);
    const isBothThere = counts.nPred > 0 && counts.nRef > 0;
    const distances = isBothThere
      ? await surfaceDistances(surfaces, prediction, reference, index)
      : noDistances;
    results.push({ label, ...scoreEvidence({ ...counts, ...distances }), ...counts });
  }
  return results;
}

type Surfaces = Program<"predictionToReference" | "referenceToPrediction">;
type Distances = Pick<ClassEvidence, "predictionToReference" | "referenceToPrediction">;

const noDistances: Distances = { predictionToReference: undefined, referenceToPrediction: undefined };

/** Confusion matrix, row = reference class, column = predicted class. */
async function countOverlaps(prediction: Tensor, reference: Tensor, classes: number): Promise<number[]> {
  const graph = new Graph();
  const counts = overlapCounts(
    graph.input("prediction", "u8", prediction.shape),
    graph.input("reference", "u8", reference.shape),
    classes,
  );
  using program = graph.compile({ counts });
  const outputs = await program.run({ prediction, reference });
  return [...outputs.counts.data];
}

function countsOf(confusion: readonly number[], classes: number, index: number) {
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

function buildSurfaces(shape: readonly number[], spacing: readonly number[]): Surfaces {
  const graph = new Graph();
  const prediction = graph.input("prediction", "u8", shape);
  const reference = graph.input("reference", "u8", shape);
  return graph.compile({
    predictionToReference: surfaceDistance(prediction, reference, spacing),
    referenceToPrediction: surfaceDistance(reference, prediction, spacing),
  });
}

async function surfaceDistances(
  program: Surfaces,
  prediction: Tensor,
  reference: Tensor,
  index: number,
): Promise<Distances> {
  using predicted = maskOf(prediction, index);
  using expected = maskOf(reference, index);
  const outputs = await program.run({ prediction: predicted, reference: expected });
  // Voxels off the border hold -1.
  return {
    predictionToReference: outputs.predictionToReference.f32.filter((distance) => distance >= 0),
    referenceToPrediction: outputs.referenceToPrediction.f32.filter((distance) => distance >= 0),
  };
}

function maskOf(classes: Tensor, index: number): Tensor {
  const mask = Tensor.zeros("u8", classes.shape);
  const from = classes.u8;
  const to = mask.u8;
  for (let i = 0; i < from.length; i++) to[i] = from[i] === index ? 1 : 0;
  return mask;
}
