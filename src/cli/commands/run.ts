import { stageCommand } from "../run-command.js";

export const run = stageCommand({
  name: "run",
  summary: "Run all stages of a configuration: fine-tune, pseudo-label, re-train, predict, evaluate, report",
  until: "report",
  examples: [
    [
      "sfr run configs/la-quick.yaml --data DATA --out runs/la",
      "Train and score the arms of a configuration",
    ],
    ["sfr run my.yaml --retrain-steps 2000 --seed 3 --out runs/s3", "Flags override the file"],
  ],
});
