import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";

/** Single-shot self-training: pseudo-labels are taken as they are, no teacher. */
export const selfTraining: Method = {
  summary:
    "L = L_sup + L_pl; L_pl = 0.5 (CE + Dice) against the pseudo-labels (SFR's step without consistency).",
  names: { sam: "SFR self-training" },
  usesUnlabelled: true,
  losses: (step) => labelledAndPseudoLabelled(step),
};
