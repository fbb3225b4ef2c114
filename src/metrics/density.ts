import { mean, percentile, sampleSd } from "./statistics.js";

/** Feature vectors one after another: `values[i * channels + c]`. */
export interface FeatureVectors {
  readonly values: Float32Array;
  readonly channels: number;
}

/** Two densities on a common axis. */
export interface DensityPair {
  /** Along the first principal component, in its standard deviations, 0 at the mean of both sets. */
  readonly x: readonly number[];
  readonly first: readonly number[];
  readonly second: readonly number[];
  /** Area that both have in common: 1 for equal densities, 0 for ones that lie apart. */
  readonly overlap: number;
}

/** Points of a density. */
const points = 161;
/** Reach of the axis, standard deviations beyond the outermost percentiles. */
const margin = 1;

/**
 * Densities of two sets of feature vectors along the direction in which both together vary most: the first principal
 * component of the two sets with equal weight, and Gaussian kernel estimates with Silverman's width.
 *
 * @returns undefined when a set has fewer than two vectors or nothing varies
 */
export function densityPair(first: FeatureVectors, second: FeatureVectors): DensityPair | undefined {
  const sets = [first, second];
  if (sets.some(({ values, channels }) => values.length < 2 * channels)) return undefined;
  const { center, direction } = firstComponent(sets);
  const projected = sets.map((set) => project(set, center, direction));
  const scale = Math.sqrt(mean(projected.map((values) => mean(values.map((v) => v * v)) ?? 0)) ?? 0);
  if (scale === 0) return undefined;
  const [a = [], b = []] = projected.map((values) => values.map((value) => value / scale));
  const sorted = [...a, ...b].sort((x, y) => x - y);
  const low = (percentile(sorted, 0.001) ?? 0) - margin;
  const high = (percentile(sorted, 0.999) ?? 0) + margin;
  const step = (high - low) / (points - 1);
  const x = Array.from({ length: points }, (_, i) => low + i * step);
  const [p, q] = [kernelDensity(a, x), kernelDensity(b, x)];
  const overlap = p.reduce((sum, value, i) => sum + Math.min(value, q[i] ?? 0) * step, 0);
  return { x, first: p, second: q, overlap };
}

/** Mean and first principal direction of sets that count alike whatever their sizes. */
function firstComponent(sets: readonly FeatureVectors[]): { center: number[]; direction: number[] } {
  const channels = sets[0]?.channels ?? 0;
  const indices = Array.from({ length: channels }, (_, c) => c);
  const moment = (of: (values: Float32Array, at: number) => number) =>
    mean(
      sets.map(({ values }) => {
        let sum = 0;
        for (let at = 0; at < values.length; at += channels) sum += of(values, at);
        return (sum * channels) / values.length;
      }),
    ) ?? 0;
  const center = indices.map((c) => moment((values, at) => values[at + c] ?? 0));
  const covariance = indices.map((i) =>
    indices.map((j) =>
      moment(
        (values, at) =>
          ((values[at + i] ?? 0) - (center[i] ?? 0)) * ((values[at + j] ?? 0) - (center[j] ?? 0)),
      ),
    ),
  );
  // Power iteration from the channel that varies most; the sign is made definite, so that pictures are repeatable.
  const variances = indices.map((c) => covariance[c]?.[c] ?? 0);
  const start = variances.indexOf(Math.max(...variances));
  let direction = indices.map((c) => Number(c === start));
  for (let round = 0; round < 500; round++) {
    const next = covariance.map((row) => row.reduce((sum, value, j) => sum + value * (direction[j] ?? 0), 0));
    const length = Math.hypot(...next);
    if (length === 0) break;
    direction = next.map((value) => value / length);
  }
  return { center, direction };
}

function project(
  { values, channels }: FeatureVectors,
  center: readonly number[],
  direction: readonly number[],
) {
  return Array.from({ length: values.length / channels }, (_, i) =>
    direction.reduce((sum, part, c) => sum + part * ((values[i * channels + c] ?? 0) - (center[c] ?? 0)), 0),
  );
}

/** Gaussian kernel density of values at x; the kernel's width is Silverman's 0.9 min(sd, IQR / 1.34) n^(-1/5). */
function kernelDensity(values: readonly number[], x: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  const range = (percentile(sorted, 0.75) ?? 0) - (percentile(sorted, 0.25) ?? 0);
  const sd = sampleSd(values) ?? 0;
  const spread = range > 0 ? Math.min(sd, range / 1.34) : sd;
  const width = 0.9 * (spread > 0 ? spread : 1) * values.length ** -0.2;
  const factor = 1 / (values.length * width * Math.sqrt(2 * Math.PI));
  return x.map(
    (at) => factor * values.reduce((sum, value) => sum + Math.exp(-0.5 * ((at - value) / width) ** 2), 0),
  );
}
