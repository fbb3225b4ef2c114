import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";

/**
 * Self-training: pseudo-labels are taken as they are, no teacher.
 *
 * Choices: with SAM's pseudo-labels it is SFR's step without the consistency term, once (single-shot), which is our
 * reading. `rounds` of an arm make it iterative, as the paper's text describes it (no code is public): the segmenter
 * labels each unlabelled volume by its sliding window, argmax, and a new one is trained for T steps from the same start
 * on labelled and so labelled volumes. Without SAM the first segmenter learns from the labelled cases alone.
 */
export const selfTraining: Method = {
  summary:
    "L = L_sup + L_pl; L_pl = 0.5 (CE + Dice) against the pseudo-labels (SFR's step without consistency).",
  names: { sam: "SFR self-training", rounds: "self-training" },
  usesUnlabelled: true,
  losses: (step) => labelledAndPseudoLabelled(step),
};
