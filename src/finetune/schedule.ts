import type { FinetuneSettings } from "../config/schema.js";

/** Share of T that a SAM from random weights warms up: 250 of 6000 steps. */
const randomWarmup = 1 / 24;

/**
 * Learning rate of step t (0-based): linear warm-up, then lr0 (1 - t/T)^0.9.
 *
 * @param isRandom whether SAM starts from random weights, which warms up unless the settings say for how long
 */
export function finetuneLearningRate(t: number, settings: FinetuneSettings, isRandom: boolean): number {
  const { learningRate, steps } = settings;
  const warmup = settings.warmup ?? (isRandom ? Math.round(steps * randomWarmup) : 0);
  return t < warmup ? (learningRate * (t + 1)) / warmup : learningRate * (1 - t / steps) ** 0.9;
}
