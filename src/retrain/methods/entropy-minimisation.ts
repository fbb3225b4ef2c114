import * as ops from "../../graph/ops.js";
import { entropy, mean } from "../../losses/unsupervised.js";
import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/**
 * Entropy minimisation (Grandvalet & Bengio 2004; Vu et al. 2019) as SSL4MIS trains it in 3D:
 *
 *   L_ent = mean over crops and voxels of H(p) / ln K,   H(p) = -sum_k p_k ln(p_k + 1e-6)
 *
 * Choices: the mean runs over labelled and unlabelled crops, as in that code (papers: unlabelled ones alone). The weight
 * ramps up over the whole training (the code: 200 stairs of 150 steps of its 30000, here 40 stairs of T).
 */
export const entropyMinimisation: Method = {
  summary: "L = L_sup + L_pl + w(t) mean H(p) / ln K over all crops.",
  names: { none: "entropy minimisation", sam: "SFR entropy minimisation" },
  usesUnlabelled: true,
  losses(step) {
    const { logits, total, terms } = labelledAndPseudoLabelled(step);
    const uncertainty = ops.affine(mean(entropy(ops.softmax(logits))), 1 / Math.log(logits.dim(-1)));
    return {
      total: ops.add(total, ops.multiply(uncertainty, rampedWeight(step))),
      terms: { ...terms, entropy: uncertainty },
    };
  },
};
