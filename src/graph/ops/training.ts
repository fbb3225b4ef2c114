/** Builders of random numbers, losses, labels and state updates. */
import { UsageError } from "../../errors.js";
import type { Value } from "../graph.js";
import { only } from "./outputs.js";

// ---- random numbers; `rng` is i32 [3] = (low word of seed, high word of seed, step)

/**
 * Zeroes with probability `rate` and scales the rest by 1/(1-rate); whole channels of [N,...,C] when `channels`.
 * The stream's name is the node's path, so the mask depends on (seed, step, name) alone.
 */
export const dropout = (x: Value, rng: Value, rate: number, channels: boolean, name: string): Value =>
  only(x.graph.node("dropout", [x, rng], { rate, channels, stream: x.graph.path(name) }, name));
/** clip(scale * N(0,1), +-limit), f32. */
export const gaussianNoise = (
  rng: Value,
  shape: readonly number[],
  scale: number,
  limit: number,
  name: string,
): Value =>
  only(rng.graph.node("gaussian_noise", [rng], { shape, scale, limit, stream: rng.graph.path(name) }, name));

/** scale * U[-1, 1), f32. */
export const uniformNoise = (rng: Value, shape: readonly number[], scale: number, name: string): Value =>
  only(rng.graph.node("uniform_noise", [rng], { shape, scale, stream: rng.graph.path(name) }, name));

/**
 * Cubes of `side` voxels exchanged between the samples of x [N,D,H,W,C], each at its place: an order of the samples for
 * each place, drawn from the stream `name`; `undo` puts them back.
 */
export const mixCubes = (x: Value, rng: Value, side: number, name: string, undo = false): Value =>
  only(x.graph.node("mix_cubes", [x, rng], { side, stream: x.graph.path(name), undo }, name));

/**
 * Ones [D,H,W] with zeros in a box of extents `box` at a random place, drawn from the stream `name`: the box begins
 * uniformly at 0 .. extent - box - 1 of each axis.
 */
export const boxMask = (rng: Value, shape: readonly number[], box: readonly number[], name: string): Value =>
  only(rng.graph.node("box_mask", [rng], { shape, box, stream: rng.graph.path(name) }, name));

// ---- losses

/**
 * logits [..,K], labels u8 [..] -> cross-entropy [] and Dice loss []. What is labelled 255 (ignored) is left out of both,
 * what is labelled 254 (a gap of a canvas) of all but Dice's sum of p^2. Logits [N,h,w,K] of labels [N,H,W] are resized as
 * by resizeBilinear, without being stored at that size.
 */
export function segmentationLoss(
  logits: Value,
  labels: Value,
  smooth = 1e-10,
): { crossEntropy: Value; dice: Value } {
  const [crossEntropy, dice] = logits.graph.node("segmentation_loss", [logits, labels], { smooth });
  if (crossEntropy === undefined || dice === undefined)
    throw new UsageError("segmentation_loss: expected two outputs");
  return { crossEntropy, dice };
}
/** Mean of (a - b)^2 -> []. */
export const meanSquaredError = (a: Value, b: Value): Value =>
  only(a.graph.node("mean_squared_error", [a, b]));
/** Largest of the last axis: [..,K] -> u8 [..]. */
export const argmax = (x: Value): Value => only(x.graph.node("argmax", [x]));

/** Labels u8 [..] -> f32 [..,K]; zeros where ignored (255). */
export const oneHot = (labels: Value, classes: number): Value =>
  only(labels.graph.node("one_hot", [labels], { classes }));
/** Labels a where mask [suffix of a] is not 0, else b; without b ignored there (255). */
export const selectLabels = (a: Value, mask: Value, b?: Value): Value =>
  only(a.graph.node("select_labels", [a, b, mask]));
/** Labels u8 [..] that are likely wrong by the probabilities [..,K] of another network: 1, else 0, f32 [..]. */
export const labelNoise = (labels: Value, probabilities: Value): Value =>
  only(labels.graph.node("label_noise", [labels, probabilities]));
/** Normalised signed distance maps of the classes but 0, negative inside: u8 [N,D,H,W] -> f32 [N,D,H,W,K-1]. */
export const signedDistance = (labels: Value, classes: number): Value =>
  only(labels.graph.node("signed_distance", [labels], { classes }));
/** Of each class but 0 the largest 26-connected component of each sample: u8 [N,D,H,W] -> [N,D,H,W]. */
export const largestComponent = (labels: Value): Value =>
  only(labels.graph.node("largest_component", [labels]));
/** 26-connected components of a class but 0 with fewer than `voxels` voxels become 0: u8 [N,D,H,W] -> [N,D,H,W]. */
export const dropSmallComponents = (labels: Value, voxels: number): Value =>
  only(labels.graph.node("drop_small_components", [labels], { voxels }));
/** 6-connected holes that one class alone encloses become that class: u8 [N,D,H,W] -> [N,D,H,W]. */
export const fillHoles = (labels: Value): Value => only(labels.graph.node("fill_holes", [labels]));

// ---- state updates; they run at the end of the step and have no value

/** Parameter and its gradient with what the optimiser keeps for it. */
export interface SgdSlot {
  parameter: Value;
  gradient: Value;
  momentum: Value;
}

/** g += decay*p; v = momentum*v + g; p -= lr*v (torch.optim.SGD). */
export function sgd(
  learningRate: Value,
  slots: readonly SgdSlot[],
  settings: { momentum: number; weightDecay: number },
): void {
  const inputs = slots.flatMap((slot) => [slot.parameter, slot.gradient, slot.momentum]);
  learningRate.graph.node("sgd", [learningRate, ...inputs], settings, "sgd");
}

export interface AdamWSlot {
  parameter: Value;
  gradient: Value;
  first: Value;
  second: Value;
}

/** torch.optim.AdamW; `step` counts from 1. */
export function adamw(
  learningRate: Value,
  step: Value,
  slots: readonly AdamWSlot[],
  settings: { beta1: number; beta2: number; epsilon: number; weightDecay: number },
): void {
  const inputs = slots.flatMap((slot) => [slot.parameter, slot.gradient, slot.first, slot.second]);
  learningRate.graph.node("adamw", [learningRate, step, ...inputs], settings, "adamw");
}

/** teacher = alpha * teacher + (1 - alpha) * student for each pair. */
export function ema(alpha: Value, pairs: readonly { teacher: Value; student: Value }[]): void {
  alpha.graph.node("ema", [alpha, ...pairs.flatMap((pair) => [pair.teacher, pair.student])], {}, "ema");
}
