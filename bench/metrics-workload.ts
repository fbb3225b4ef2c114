import { RandomStream } from "../src/graph/random.js";
import { scoreClasses } from "../src/metrics/scores.js";
import { Tensor } from "../src/native/tensor.js";
import { labelOrder, permute } from "../test/oracle/axes.js";
import type { RequestOf } from "./requests.js";
import type { Workload } from "./workloads.js";

/** What bench/peers/metrics.py computes, in its order. */
const compared = [
  "Dice",
  "Jaccard",
  "HD95",
  "ASD",
  "Precision",
  "Recall",
  "HD",
  "ASSD",
  "VolumeError",
  "NSD",
] as const;

/** Probability of a false voxel in the prediction. */
const speckle = 2e-5;

/** Every metric, of the ellipsoids that bench/peers/metrics.py describes. */
export async function startMetrics({ shape, spacing }: RequestOf<"metrics">): Promise<Workload> {
  const truth = ellipsoid(shape, [0, 0, 0], 0);
  const noise = new RandomStream(1, 0, "input/speckle");
  const predicted = ellipsoid(shape, [3, -2, 1], 2).map((inside) => (noise.uniform() < speckle ? 1 : inside));
  const tensor = (values: Uint8Array) =>
    Tensor.from("u8", [...shape].reverse(), permute(values, [1, ...shape], labelOrder));
  const [prediction, reference] = [tensor(predicted), tensor(truth)];
  const run = () => scoreClasses(prediction, reference, { labelIds: [0, 1], spacing: spacing ?? [1, 1, 1] });
  const [scores] = await run();
  return {
    values: new Map([["metrics", compared.map((name) => scores?.metrics[name] ?? Number.NaN)]]),
    explain: null,
    run: async () => void (await run()),
  };
}

/**
 * u8 in (x, y, z) order, z fastest: radii are extent // 4 + `grow`, the centre is moved by `move` voxels. Whole numbers
 * only, so that both sides draw the same border.
 */
function ellipsoid(shape: readonly number[], move: readonly number[], grow: number): Uint8Array {
  const radii = shape.map((extent) => Math.floor(extent / 4) + grow);
  const product = radii.reduce((total, r) => total * r * r, 1);
  const terms = shape.map((extent, axis) => {
    const r = radii[axis] ?? 1;
    return Array.from({ length: extent }, (_, i) => {
      const a = 2 * i - (extent - 1) - 2 * (move[axis] ?? 0);
      return a * a * (product / (r * r));
    });
  });
  const [xs = [], ys = [], zs = []] = terms;
  const inside = xs.flatMap((x) => ys.flatMap((y) => zs.map((z) => (x + y + z <= 4 * product ? 1 : 0))));
  return Uint8Array.from(inside);
}
