/** What is said about a list of scores. */
import { RandomStream } from "../graph/random.js";

/** `start` plus all values, from the first on. */
export function sum(values: ArrayLike<number>, start = 0): number {
  let total = start;
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0;
  return total;
}

/** Null for an empty list. */
export function mean(values: ArrayLike<number>): number | null {
  return values.length === 0 ? null : sum(values) / values.length;
}

/** Standard deviation with n - 1; null for fewer than two values. */
export function sampleSd(values: readonly number[]): number | null {
  const center = mean(values);
  if (center === null || values.length < 2) return null;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

/** Value at `fraction` of a sorted list, interpolated between neighbours as numpy does; null when it is empty. */
export function percentile(sorted: ArrayLike<number>, fraction: number): number | null {
  return interpolate(sorted, fraction * (sorted.length - 1));
}

/**
 * `percentile` of distances (>= 0) in any order. Their bits are ordered as they are: values are counted by the upper
 * half, and only those are sorted that share it with the wanted ones.
 */
export function percentileOfDistances(distances: Float32Array, fraction: number): number | null {
  const at = fraction * (distances.length - 1);
  const bits = new Uint32Array(distances.buffer, distances.byteOffset, distances.length);
  const counts = new Uint32Array(1 << 16);
  for (let i = 0; i < bits.length; i++) {
    const upper = (bits[i] ?? 0) >>> 16;
    counts[upper] = (counts[upper] ?? 0) + 1;
  }
  // Upper halves from `first` on hold place floor(at) and, before `end`, ceil(at); `below` values are lower.
  let [first, below] = [0, 0];
  while (first < counts.length && below + (counts[first] ?? 0) <= at) below += counts[first++] ?? 0;
  let [end, through] = [first, below];
  while (end < counts.length && through <= Math.ceil(at)) through += counts[end++] ?? 0;
  const near = new Float32Array(through - below);
  let next = 0;
  for (let i = 0; i < bits.length; i++) {
    const upper = (bits[i] ?? 0) >>> 16;
    if (upper >= first && upper < end) near[next++] = distances[i] ?? 0;
  }
  return interpolate(near.sort(), at - below);
}

/** Value at a place between two elements of a sorted list; null beyond its ends. */
function interpolate(sorted: ArrayLike<number>, at: number): number | null {
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (at - Math.floor(at));
}

/** Lower and upper end. */
export type Interval = readonly [number, number];

/** Draws for an interval: its ends then move by about a hundredth of its width from seed to seed. */
const resamples = 10_000;

/**
 * 95 % interval of the mean: percentiles of the means of 10 000 samples drawn with replacement (Efron's percentile
 * bootstrap). Equal values give equal intervals; null for fewer than two values.
 */
export function bootstrapInterval(values: readonly number[]): Interval | null {
  const n = values.length;
  if (n < 2) return null;
  const draws = drawsOf(n);
  const means = Float64Array.from({ length: resamples }, (_, sample) => {
    let sum = 0;
    for (let i = sample * n; i < (sample + 1) * n; i++) sum += values[draws[i] ?? 0] ?? 0;
    return sum / n;
  }).sort();
  const [low, high] = [percentile(means, 0.025), percentile(means, 0.975)];
  return low === null || high === null ? null : [low, high];
}

let lastDraws = new Uint32Array(0);

/** What each sample of n values draws; the last list is kept, as most metrics have as many values. */
function drawsOf(n: number): Uint32Array {
  if (lastDraws.length !== resamples * n) {
    const random = new RandomStream(1, 0, "bootstrap");
    lastDraws = Uint32Array.from({ length: resamples * n }, () => random.integer(n));
  }
  return lastDraws;
}

/** Pairs up to which all choices of signs are counted. */
const exactPairs = 50;

/**
 * Two-sided p of Wilcoxon's signed-rank test that paired differences are symmetric about 0; null without a difference.
 * Differences of 0 are dropped and equal ones share their ranks. Exact for up to 50 pairs, as `scipy.stats.wilcoxon`
 * with `method="exact"`, or with all permutations where there are ties; the normal approximation with tie correction,
 * SciPy's `method="asymptotic"`, for more.
 */
export function wilcoxonSignedRank(differences: readonly number[]): number | null {
  const sorted = differences.filter((d) => d !== 0).sort((a, b) => Math.abs(a) - Math.abs(b));
  const n = sorted.length;
  if (n === 0) return null;
  // Twice the ranks: whole numbers, ties or not.
  const ranks: number[] = [];
  let ties = 0;
  while (ranks.length < n) {
    const first = ranks.length;
    const size = Math.abs(sorted[first] ?? 0);
    const count = sorted.filter((d) => Math.abs(d) === size).length;
    ranks.push(...Array<number>(count).fill(2 * first + 1 + count));
    ties += count ** 3 - count;
  }
  const positive = ranks.reduce((sum, rank, i) => sum + ((sorted[i] ?? 0) > 0 ? rank : 0), 0);
  const smaller = Math.min(positive, n * (n + 1) - positive);
  if (n <= exactPairs) return exactP(ranks, smaller);
  const variance = (n * (n + 1) * (2 * n + 1) - ties / 2) / 24;
  return 2 * normalTail(((n * (n + 1)) / 4 - smaller / 2) / Math.sqrt(variance));
}

/** Twice the probability of a rank sum of `smaller` or less when every choice of signs is as likely. */
function exactP(ranks: readonly number[], smaller: number): number {
  const counts = new Float64Array(ranks.reduce((sum, rank) => sum + rank, 0) + 1);
  counts[0] = 1;
  for (const rank of ranks) {
    for (let sum = counts.length - 1; sum >= rank; sum--) {
      counts[sum] = (counts[sum] ?? 0) + (counts[sum - rank] ?? 0);
    }
  }
  const below = counts.subarray(0, smaller + 1).reduce((sum, count) => sum + count, 0);
  return Math.min(1, (2 * below) / 2 ** ranks.length);
}

/**
 * P(Z > z) of the standard normal distribution for z >= 0: its Taylor series below 3, Laplace's continued fraction
 * above.
 */
function normalTail(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let [term, sum] = [z, z];
    for (let k = 3; Math.abs(term) > 1e-17 * sum; k += 2) {
      term *= (z * z) / k;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = z;
  for (let k = 60; k >= 1; k--) fraction = z + k / fraction;
  return density / fraction;
}
