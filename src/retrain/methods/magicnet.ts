import type { Config } from "../../config/schema.js";
import { UsageError } from "../../errors.js";
import type { Value } from "../../graph/graph.js";
import { batchNormLayer, linearLayer } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { supervisedLoss } from "../../losses/supervised.js";
import { average } from "../../losses/unsupervised.js";
import { Tensor } from "../../native/tensor.js";
import { leakyRelu } from "./class-contrast.js";
import { cubeSide, cubes, gridOf, tiled } from "./cubes.js";
import { memory, remember } from "./memory.js";
import type { Method, StepContext } from "./method.js";
import { labelledPart, pseudoLabelledPart, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

const locationWeight = 0.1;
/** Steps between two counts of the classes in pseudo-labels; each count is of the steps since the last. */
const countEvery = 20;
/** Part of the steps before cube-wise predictions are blended in: the code's 100 of 70000. */
const blendFrom = 1 / 700;

/** What the student makes of the cubes of crops one by one. */
interface CubeWise {
  /** Cross-entropy of the cubes' places, mean over crops. */
  location: Value;
  /** Logits [N, D, H, W, K] of the decoded cubes, put together. */
  logits: Value;
}

/** Mean over crops of the cross-entropy of where a cube was, from the deepest map [N * places, d, h, w, C] of each. */
function locationLoss(step: StepContext, map: Value, places: number): Value {
  const ctx = step.layers(step.network("location"));
  const size = map.shape.slice(1).reduce((product, extent) => product * extent, 1);
  const rows = ops.reshape(map, [map.dim(0), size]);
  const labels = step.graph.persistent(
    Tensor.from(
      "u8",
      [places],
      Array.from({ length: places }, (_, place) => place),
    ),
    "places",
  );
  const losses = Array.from({ length: map.dim(0) / places }, (_, n) => {
    const own = ops.slice(rows, 0, n * places, (n + 1) * places);
    const hidden = leakyRelu(
      batchNormLayer(ctx, linearLayer(ctx, own, "fc_layer.0", 2 * size), "fc_layer.1"),
    );
    return ops.segmentationLoss(linearLayer(ctx, hidden, "fc_layer.3", places), labels).crossEntropy;
  });
  return average(losses);
}

function cubeWise(step: StepContext, crops: Value, pass: string, swapped: boolean): CubeWise {
  const side = cubeSide(crops.shape);
  const grid = gridOf(crops.shape, side);
  const encoded = step.encode(step.student, cubes(crops, side), { pass });
  const [map] = step.decode(step.student, encoded, { pass });
  const places = grid[0] * grid[1] * grid[2];
  return {
    location: locationLoss(step, encoded[4], places),
    logits: step.head(step.student, tiled(map, grid, swapped)),
  };
}

/** Logits of crops whose cubes were exchanged between samples before the network and put back behind it. */
function crossImage(step: StepContext): Value {
  const side = cubeSide(step.images.shape);
  const mixed = ops.mixCubes(step.images, step.rng, side, "cubes");
  const options = { pass: "mixed" };
  const [map] = step.decode(step.student, step.encode(step.student, mixed, options), options);
  return step.head(step.student, ops.mixCubes(map, step.rng, side, "cubes", true));
}

/** Labels u8 of the unlabelled crops: the teacher's, blended with the cube-wise logits. */
function blendedLabels(step: StepContext, cubeLogits: Value): { labels: Value; count(): void } {
  const noisy = withNoise(step, unlabelledPart(step, step.images), "teacher/noise");
  const teacher = step.forward(step.network("teacher"), noisy);
  const classes = teacher.dim(-1);
  const [counts, prior] = [memory(step, "counts", classes), memory(step, "prior", classes)];
  const blending = step.scalar("blending", (t) => (t > blendFrom * step.settings.steps ? 1 : 0));
  const counting = step.scalar("counting", (t) => (t % countEvery === 0 ? 1 : 0));

  const ratios = ops.divide(prior, ops.affine(ops.rowMax(prior), 1, 1e-16));
  const own = ops.oneHot(ops.argmax(teacher), classes);
  const omega = ops.multiply(ops.dotRows(own, ops.broadcastTo(ratios, own.shape)), blending);
  const labels = ops.argmax(ops.add(teacher, ops.scaleRows(ops.subtract(cubeLogits, teacher), omega)));
  const count = () => {
    const counted = ops.add(counts, ops.sumTo(ops.oneHot(labels, classes), [classes]));
    const change = ops.multiply(ops.subtract(counted, prior), counting);
    remember(step, [
      { vector: prior, next: ops.add(prior, change) },
      { vector: counts, next: ops.multiply(counted, ops.affine(counting, -1, 1)) },
    ]);
  };
  return { labels, count };
}

function checkPatch({ patch, segmenter }: Pick<Config, "patch" | "segmenter">, swapped: boolean): void {
  const received = patch.join(" x ");
  const side = cubeSide([1, patch[2], patch[1], patch[0]]);
  if (patch.some((extent) => extent % side !== 0))
    throw new UsageError(
      `patch: expected multiples of ${side} voxels for magicnet's cubes, received ${received}; round it`,
    );
  if (side < 32 && segmenter.model !== "vnet")
    throw new UsageError(
      `patch: expected multiples of 32 voxels for magicnet's cubes with ${segmenter.model}, received ${received}; round it`,
    );
  if (patch.every((extent) => extent === side))
    throw new UsageError(
      `patch: expected more than one cube of ${side} voxels for magicnet, received ${received}`,
    );
  if (swapped && patch[0] !== patch[2])
    throw new UsageError(
      `patch: expected equal extents along x and z for magicnet-released, received ${received}; use magicnet`,
    );
}

/**
 * MagicNet (Chen et al. 2023). Crops in cubes of 32 voxels (16 where the patch wants it and the norm allows it): the
 * student sees the crops (p), crops whose cubes were exchanged between samples, each at its place, and put back before the
 * head (p^c), and the cubes one by one, put together before the head (p^w). y^ is the teacher's label of a noisy crop,
 * blended with the student's cube-wise logits:
 *
 *   L  = 1/4 [CE(p_l) + Dice(p_l) + Dice(p^c_l) + Dice(p^w_l)] + 0.1 L_loc + L_pl + w(t) Dice(p^c_u, y^)
 *   y^ = argmax (1 - O) z' + O z^cube,   O = R of the teacher's class, R_k = n_k / max n
 *
 * n: voxels of each class in the labels y^ of the last 20 steps. L_loc: cross-entropy of a cube's place from its deepest
 * map, mean over crops. Meant for segmenter.model magicnet; others work.
 *
 * Choices: the form of the authors' BTCV script; blending from step T/700 on (theirs: 100 of 70000; their MACT script's
 * condition never holds, and it adds Dice(p^w) later). Cubes are put back where they were: the released code cuts in one
 * order and tiles in another, which exchanges the cubes (i, j, k) and (k, j, i) while labels stay; magicnet-released does
 * that. The random order of the cubes in that code cancels out. The hidden layer of the location head has twice its inputs
 * (4096 with 16 filters); the head is not kept. L_pl on the plain forward pass, without a ramp, is our reading.
 */
function magicCubes(name: string, swapped: boolean): Method {
  return {
    summary:
      "L = L_sup of crops, exchanged cubes and single cubes + L_loc + L_pl + w(t) Dice(blended labels).",
    names: { none: name, sam: `SFR ${name}` },
    usesUnlabelled: true,
    checkSettings: (config) => checkPatch(config, swapped),
    losses(step) {
      const logits = step.forward(step.student, step.images);
      const { crossEntropy, dice } = supervisedLoss(labelledPart(step, logits), step.labels);
      const recovered = crossImage(step);
      const single = cubeWise(step, labelledPart(step, step.images), "labelled-cubes", swapped);
      const unlabelled = cubeWise(step, unlabelledPart(step, step.images), "unlabelled-cubes", swapped);
      const { labels, count } = blendedLabels(step, unlabelled.logits);
      const diceOf = (z: Value, y: Value) => ops.segmentationLoss(z, y).dice;
      const supervised = average([
        crossEntropy,
        dice,
        diceOf(labelledPart(step, recovered), step.labels),
        diceOf(single.logits, step.labels),
      ]);
      const shares = [step.labelled, step.unlabelled].map((n) => n / (step.labelled + step.unlabelled));
      const location = ops.add(
        ops.affine(single.location, shares[0] ?? 0),
        ops.affine(unlabelled.location, shares[1] ?? 0),
      );
      const consistency = diceOf(unlabelledPart(step, recovered), labels);
      const own = ops.add(supervised, ops.affine(location, locationWeight));
      const total = ops.add(own, ops.multiply(consistency, rampedWeight(step)));
      const terms = { crossEntropy, dice, supervised, location, consistency };
      const trained = [step.student, step.network("location")];
      const afterUpdate = () => {
        count();
        followStudent(step, step.network("teacher"));
      };
      if (step.pseudoLabels === undefined) return { total, terms, trained, afterUpdate };
      const pseudoLabel = supervisedLoss(pseudoLabelledPart(step, logits), step.pseudoLabels).loss;
      return { total: ops.add(total, pseudoLabel), terms: { ...terms, pseudoLabel }, trained, afterUpdate };
    },
  };
}

export const magicNet = magicCubes("MagicNet", false);

/** With the cubes in the places where the released code puts them. */
export const magicNetReleased = magicCubes("MagicNet (released tiling)", true);
