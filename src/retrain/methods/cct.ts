import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { average } from "../../losses/unsupervised.js";
import type { EncoderMaps } from "../../models/segmenter.js";
import type { Method, StepContext } from "./method.js";
import { averagedSupervision, unlabelledPart } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/** Largest relative change of a value by feature noise. */
const noiseScale = 0.3;
/** Share of values that feature dropout drops. */
const dropoutRate = 0.3;
/** Between what shares of the largest attention attention dropout begins. */
const attention = { least: 0.7, most: 0.9 } as const;

/** Disturbs a map [N, D, H, W, C] of the encoder; `name` names its random numbers. */
type Perturbation = (step: StepContext, map: Value, name: string) => Value;

/** x (1 + v), v ~ U(-0.3, 0.3) of the shape of a sample, the same for all. */
const featureNoise: Perturbation = (step, map, name) => {
  const noise = ops.uniformNoise(step.rng, map.shape.slice(1), noiseScale, name);
  return ops.add(map, ops.multiply(map, noise));
};

const featureDropout: Perturbation = (step, map, name) =>
  ops.dropout(map, step.rng, dropoutRate, false, name);

/**
 * Drops the voxels of most attention, a >= gamma times the sample's largest a, where a is the mean over channels and
 * gamma ~ U(0.7, 0.9); what is left is not scaled.
 */
const attentionDropout: Perturbation = (step, map, name) => {
  const { least, most } = attention;
  const gamma = step.scalar(name, (_, random) => least + (most - least) * random.uniform());
  const ones = ops.fill(step.graph, map.shape, 1 / map.dim(-1));
  const means = ops.stopGradient(ops.dotRows(map, ones));
  const samples = Array.from({ length: map.dim(0) }, (_, n) => {
    const own = ops.slice(means, 0, n, n + 1);
    const largest = ops.rowMax(ops.reshape(own, [own.shape.reduce((a, b) => a * b, 1)]));
    return ops.affine(ops.atLeast(own, ops.multiply(largest, gamma)), -1, 1);
  });
  return ops.scaleRows(map, ops.concat(samples, 0));
};

/** The further decoders and what each is disturbed by. */
const decoders: Readonly<Record<string, Perturbation>> = {
  "noise-decoder": featureNoise,
  "dropout-decoder": featureDropout,
  "attention-decoder": attentionDropout,
};

function perturbed(
  step: StepContext,
  [a, b, c, d, e]: EncoderMaps,
  name: string,
  by: Perturbation,
): EncoderMaps {
  const at = (map: Value, level: number) => by(step, map, `${name}/level-${level}`);
  return [at(a, 1), at(b, 2), at(c, 3), at(d, 4), at(e, 5)];
}

/**
 * Cross-consistency training (Ouali et al. 2020) as SSL4MIS trains it, lifted from its 2D U-Net to the segmenter here: one
 * encoder, the main decoder and three further ones d whose five encoder maps are disturbed by feature noise, feature
 * dropout and attention dropout:
 *
 *   L = mean over the 4 decoders of L_sup,d + w(t) mean over the 3 further ones of MSE(p_u, p_u,d)
 *
 * Choices: gradients flow into both sides of the MSE and all decoders learn from labels, as in the code (the paper detaches
 * the main output and trains the others on unlabelled crops alone). The network's own dropout comes before the
 * disturbances. SAM's pseudo-labels teach the main decoder, which alone is kept.
 */
export const crossConsistency: Method = {
  summary: "L = mean L_sup of four decoders + L_pl + w(t) MSE(main, decoders of disturbed maps).",
  names: { none: "CCT", sam: "SFR CCT" },
  usesUnlabelled: true,
  losses(step) {
    const encoded = step.encode(step.student, step.images);
    const logits = step.head(step.student, step.decode(step.student, encoded)[0]);
    const main = ops.softmax(unlabelledPart(step, logits));
    const others = Object.entries(decoders).map(([name, by]) => {
      const weights = step.network(name);
      const [map] = step.decode(weights, perturbed(step, encoded, name, by));
      return { weights, logits: step.head(weights, map) };
    });
    const heads = [logits, ...others.map((other) => other.logits)];
    const { total, terms } = averagedSupervision(step, heads);
    const consistency = average(
      others.map((other) => ops.meanSquaredError(main, ops.softmax(unlabelledPart(step, other.logits)))),
    );
    return {
      total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
      terms: { ...terms, consistency },
      trained: [step.student, ...others.map(({ weights }) => weights)],
    };
  },
};
