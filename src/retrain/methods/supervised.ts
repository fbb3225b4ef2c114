import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";
import { supervisedLoss } from "../../losses/supervised.js";
import { average } from "../../losses/unsupervised.js";
import type { StepContext, StepLosses } from "./method.js";

/** The labelled crops' part of a value [N, ..]. */
export function labelledPart(step: StepContext, x: Value): Value {
  return x.dim(0) === step.labelled ? x : ops.slice(x, 0, 0, step.labelled);
}

/** The unlabelled crops' part of a value [N, ..]. */
export function unlabelledPart(step: StepContext, x: Value): Value {
  return ops.slice(x, 0, step.labelled, step.labelled + step.unlabelled);
}

/** The part of a value [N, ..] that belongs to the unlabelled crops with pseudo-labels. */
export function pseudoLabelledPart(step: StepContext, x: Value): Value {
  return ops.slice(x, 0, step.labelled, step.labelled + (step.pseudoLabels?.dim(0) ?? 0));
}

/**
 * L_sup on the labelled part of the logits and, with pseudo-labels, L_pl of the same form on theirs, weight 1. What
 * comes behind these parts is left alone. All methods share this form, so that arms differ in what the method adds:
 * L_sup = 0.5 (CE + Dice) with SFR's Dice, whatever smoothing or classes the method's own code has.
 */
export function supervisedTerms(step: StepContext, logits: Value): StepLosses {
  const { loss, crossEntropy, dice } = supervisedLoss(labelledPart(step, logits), step.labels);
  const terms = { crossEntropy, dice };
  if (step.pseudoLabels === undefined) return { total: loss, terms };
  const pseudoLabel = supervisedLoss(pseudoLabelledPart(step, logits), step.pseudoLabels).loss;
  return { total: ops.add(loss, pseudoLabel), terms: { ...terms, pseudoLabel } };
}

/** One forward pass of all crops through a network, and its supervisedTerms. */
export function labelledAndPseudoLabelled(
  step: StepContext,
  weights: WeightSet = step.student,
): StepLosses & { logits: Value } {
  const logits = step.forward(weights, step.images);
  return { logits, ...supervisedTerms(step, logits) };
}

/**
 * L_sup averaged over several heads' logits [N, ..] and, with pseudo-labels, L_pl on those of the first, which is the one
 * that predicts.
 */
export function averagedSupervision(step: StepContext, heads: readonly Value[]): StepLosses {
  const all = heads.map((logits) => supervisedLoss(labelledPart(step, logits), step.labels));
  const loss = average(all.map((each) => each.loss));
  const terms = {
    crossEntropy: average(all.map(({ crossEntropy }) => crossEntropy)),
    dice: average(all.map(({ dice }) => dice)),
  };
  const [first] = heads;
  if (step.pseudoLabels === undefined || first === undefined) return { total: loss, terms };
  const pseudoLabel = supervisedLoss(pseudoLabelledPart(step, first), step.pseudoLabels).loss;
  return { total: ops.add(loss, pseudoLabel), terms: { ...terms, pseudoLabel } };
}
