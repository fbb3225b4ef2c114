import type { RetrainSettings } from "../config/schema.js";

/** exp(-5 (1 - t)^2) for t in [0, 1]: the ramp-up that semi-supervised methods share (Laine & Aila 2017). */
export function sigmoidRampUp(t: number): number {
  const clipped = Math.min(Math.max(t, 0), 1);
  return Math.exp(-5 * (1 - clipped) ** 2);
}

/** Stairs of the ramp-up over a whole training; the paper's 150 steps of 6000. */
const rampStairs = 40;

/** Consistency weight at step t (0-based): `largest` * ramp-up, in stairs of T/40 steps. */
export function consistencyWeight(t: number, steps: number, largest: number): number {
  return largest * sigmoidRampUp(Math.floor((t * rampStairs) / steps) / rampStairs);
}

/** Learning rate of step t (0-based): x0.1 at 5/12 and 10/12 of T (2500 and 5000 of 6000), or (1 - t/T)^0.9. */
export function learningRate(t: number, settings: RetrainSettings): number {
  if (settings.schedule === "poly") return settings.learningRate * (1 - t / settings.steps) ** 0.9;
  return settings.learningRate * 0.1 ** Math.floor((t * 12) / (5 * settings.steps));
}

/** Decay of the teacher after step t (0-based): min(1 - 1/(t+1), decay), so the first step copies the student. */
export function emaDecayAt(t: number, decay: number): number {
  return Math.min(1 - 1 / (t + 1), decay);
}
