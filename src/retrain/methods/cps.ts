import * as ops from "../../graph/ops.js";
import type { Method } from "./method.js";
import { labelledAndPseudoLabelled, unlabelledPart } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/**
 * Cross pseudo supervision (Chen et al. 2021): two networks of the same architecture teach each other with hard labels
 * on the unlabelled crops,
 *
 *   L = sum over i = 1, 2 of L_sup,i + L_pl,i + w(t) CE(z_i, argmax z_(3-i))      no gradient through the argmax
 *
 * Choices: one backward pass of the sum, an update of both. Both networks start with the usual initialisation, from
 * random streams of their own (SSL4MIS: Kaiming and Xavier normal), and have dropout masks of their own. Cross
 * supervision on unlabelled crops alone, as in SSL4MIS (the paper: on labelled ones too). Pseudo-labels of SAM teach
 * both. The first network is kept.
 */
export const crossPseudoSupervision: Method = {
  summary: "L = sum over two networks of L_sup + L_pl + w(t) CE against the other's argmax.",
  names: { none: "CPS", sam: "SFR CPS" },
  usesUnlabelled: true,
  losses(step) {
    const other = step.network("second");
    const first = labelledAndPseudoLabelled(step);
    const second = labelledAndPseudoLabelled(step, other);
    const own = unlabelledPart(step, first.logits);
    const others = unlabelledPart(step, second.logits);
    const crossSupervision = ops.add(
      ops.segmentationLoss(own, ops.argmax(others)).crossEntropy,
      ops.segmentationLoss(others, ops.argmax(own)).crossEntropy,
    );
    const supervised = ops.add(first.total, second.total);
    return {
      total: ops.add(supervised, ops.multiply(crossSupervision, rampedWeight(step))),
      terms: { ...first.terms, secondNetwork: second.total, crossSupervision },
      trained: [step.student, other],
    };
  },
};
