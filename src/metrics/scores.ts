import { UsageError } from "../errors.js";
import { Graph, type Program, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import type { ClassEvidence, Counts, Surface } from "./evidence.js";
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
  const confusion = await countOverlaps(prediction, reference, classes);
  const boxes = classBoxes([prediction, reference], classes);
  const results: ClassScores[] = [];
  for (const [index, label] of labelIds.entries()) {
    if (index === 0) continue;
    const counts = countsOf(confusion, classes, index);
    const box = counts.nPred > 0 && counts.nRef > 0 ? boxes[index] : undefined;
    let evidence: ClassEvidence | undefined;
    if (box !== undefined) {
      using predicted = maskOf(prediction, index, box);
      using expected = maskOf(reference, index, box);
      evidence = { counts, tolerance, ...(await measureSurfaces(predicted, expected, spacing)) };
    }
    results.push({ label, counts, metrics: scoreEvidence(counts, evidence) });
  }
  return results;
}

/** Confusion matrix, row = reference class, column = predicted class. */
async function countOverlaps(prediction: Tensor, reference: Tensor, classes: number): Promise<number[]> {
  const graph = new Graph();
  const counts = ops.overlapCounts(
    graph.input("prediction", "u8", prediction.shape),
    graph.input("reference", "u8", reference.shape),
    classes,
  );
  using program = graph.compile({ counts });
  const outputs = await program.run({ prediction, reference });
  return [...outputs.counts.data];
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

/** First voxel and extents, (z, y, x). */
interface Box {
  readonly begin: readonly [number, number, number];
  readonly shape: readonly [number, number, number];
}

/** By class, the smallest box that holds all its voxels: surfaces need nothing outside. Undefined where there are none. */
function classBoxes(volumes: readonly Tensor[], classes: number): (Box | undefined)[] {
  const [, height = 1, width = 1] = volumes[0]?.shape ?? [];
  const far = Number.MAX_SAFE_INTEGER;
  const bounds = Array.from({ length: classes }, () => ({ begin: [far, far, far], end: [0, 0, 0] }));
  const extend = (index: number, axis: number, from: number, to: number) => {
    const bound = bounds[index];
    if (bound === undefined) return;
    bound.begin[axis] = Math.min(bound.begin[axis] ?? far, from);
    bound.end[axis] = Math.max(bound.end[axis] ?? 0, to);
  };
  for (const { u8 } of volumes) {
    for (let row = 0, i = 0; i < u8.length; row++) {
      const start = i;
      while (i < start + width) {
        const index = u8[i] ?? 0;
        const from = i;
        while (i < start + width && u8[i] === index) i++;
        if (index === 0) continue;
        const [z, y] = [Math.floor(row / height), row % height];
        extend(index, 0, z, z + 1);
        extend(index, 1, y, y + 1);
        extend(index, 2, from - start, i - start);
      }
    }
  }
  return bounds.map(({ begin: [z = 0, y = 0, x = 0], end: [depth = 0, rows = 0, columns = 0] }) =>
    depth === 0 ? undefined : { begin: [z, y, x], shape: [depth - z, rows - y, columns - x] },
  );
}

/** u8 of the box's shape: 1 where the volume is of the class. */
function maskOf(volume: Tensor, index: number, { begin, shape }: Box): Tensor {
  const [, height = 1, width = 1] = volume.shape;
  const mask = Tensor.zeros("u8", shape);
  const [from, to] = [volume.u8, mask.u8];
  const [depth, rows, columns] = shape;
  for (let z = 0, i = 0; z < depth; z++) {
    for (let y = 0; y < rows; y++) {
      const start = ((begin[0] + z) * height + begin[1] + y) * width + begin[2];
      for (let x = 0; x < columns; x++, i++) to[i] = from[start + x] === index ? 1 : 0;
    }
  }
  return mask;
}

type Spacing = ScoreOptions["spacing"];

/** Borders and surfaces of two masks u8 [D, H, W] and how far they are from each other. */
async function measureSurfaces(
  prediction: Tensor,
  reference: Tensor,
  spacing: Spacing,
): Promise<Pick<ClassEvidence, "borders" | "surfaces">> {
  const borders = await measure(ops.border, prediction, reference, spacing);
  const cells = await measure(ops.surfaceCodes, prediction, reference, spacing);
  const areasByCode = surfaceAreas(spacing);
  const surface = ({ marks, distances }: Marked): Surface => ({
    areas: Float32Array.from(marks, (code) => areasByCode[code] ?? 0),
    distances,
  });
  return {
    borders: {
      predictionToReference: borders.prediction.distances,
      referenceToPrediction: borders.reference.distances,
    },
    surfaces: { prediction: surface(cells.prediction), reference: surface(cells.reference) },
  };
}

/** Marked elements of a volume in the order they lie in, and how far each is from the nearest one of the other. */
interface Marked {
  readonly marks: Uint8Array;
  readonly distances: Float32Array;
}

/** What `markOf` marks in each volume, seen from the other. */
async function measure(
  markOf: (mask: Value) => Value,
  prediction: Tensor,
  reference: Tensor,
  spacing: Spacing,
): Promise<{ prediction: Marked; reference: Marked }> {
  using predicted = marking(markOf, prediction.shape);
  using expected = marking(markOf, reference.shape);
  const { marks: a } = await predicted.run({ mask: prediction });
  const { marks: b } = await expected.run({ mask: reference });
  const graph = new Graph();
  const [from, to] = [graph.input("from", "u8", a.shape), graph.input("to", "u8", a.shape)];
  // One direction after the other: the distances are the largest volume here.
  using program = graph.compile({ distances: ops.surfaceDistance(from, to, spacing) });
  const collect = async (from: Tensor, to: Tensor) =>
    collectMarked(from.u8, (await program.run({ from, to })).distances.f32);
  return { prediction: await collect(a, b), reference: await collect(b, a) };
}

function marking(markOf: (mask: Value) => Value, shape: readonly number[]): Program<"marks"> {
  const graph = new Graph();
  return graph.compile({ marks: markOf(graph.input("mask", "u8", shape)) });
}

function collectMarked(marks: Uint8Array, distances: Float32Array): Marked {
  let count = 0;
  forEachMarked(marks, () => count++);
  const found = { marks: new Uint8Array(count), distances: new Float32Array(count) };
  let next = 0;
  forEachMarked(marks, (i) => {
    found.marks[next] = marks[i] ?? 0;
    found.distances[next++] = distances[i] ?? 0;
  });
  return found;
}

/** Calls visit(index) for each mark, in order. Most of a volume is not marked: four elements are looked at together. */
function forEachMarked(marks: Uint8Array, visit: (index: number) => void): void {
  const words = new Uint32Array(marks.buffer, marks.byteOffset, marks.length >> 2);
  for (let word = 0; word < words.length; word++) {
    if (words[word] === 0) continue;
    for (let i = 4 * word; i < 4 * word + 4; i++) if (marks[i] !== 0) visit(i);
  }
  for (let i = 4 * words.length; i < marks.length; i++) if (marks[i] !== 0) visit(i);
}
