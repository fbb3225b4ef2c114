import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";

/** The lower bound: the labelled cases alone. */
export const labelledOnly: Method = {
  summary: "L = L_sup = 0.5 (CE + Dice) on the labelled crops.",
  names: { none: "labelled only" },
  usesUnlabelled: false,
  losses: (step) => labelledAndPseudoLabelled(step),
};
