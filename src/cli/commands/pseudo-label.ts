import { stageCommand } from "../run-command.js";

export const pseudoLabel = stageCommand({
  name: "pseudo-label",
  summary:
    "Run the stages of a configuration up to the pseudo-labels (cached files with pseudoLabels: per-volume)",
  until: "pseudo-label",
  examples: [
    ["sfr pseudo-label my.yaml --pseudo-labels per-volume", "Label every unlabelled volume as NIfTI"],
  ],
});
