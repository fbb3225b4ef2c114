import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { supervisedLoss } from "../../losses/supervised.js";
import type { StepContext, StepLosses } from "./method.js";

/**
 * One forward pass of all crops; L_sup on the labelled part and, with pseudo-labels, L_pl of the same form on the
 * unlabelled part, weight 1.
 */
export function labelledAndPseudoLabelled(step: StepContext): StepLosses & { logits: Value } {
  const logits = step.forward(step.student, step.images);
  const labelled = step.unlabelled === 0 ? logits : ops.slice(logits, 0, 0, step.labelled);
  const { loss, crossEntropy, dice } = supervisedLoss(labelled, step.labels);
  const terms = { crossEntropy, dice };
  if (step.pseudoLabels === undefined) return { logits, total: loss, terms };
  const unlabelled = ops.slice(logits, 0, step.labelled, step.labelled + step.unlabelled);
  const pseudoLabel = supervisedLoss(unlabelled, step.pseudoLabels).loss;
  return { logits, total: ops.add(loss, pseudoLabel), terms: { ...terms, pseudoLabel } };
}
