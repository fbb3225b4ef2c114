import { stageCommand } from "../run-command.js";

export const retrain = stageCommand({
  name: "retrain",
  summary: "Run the stages of a configuration up to the trained segmenters of its arms",
  until: "retrain",
  examples: [
    ["sfr retrain my.yaml --retrain-steps 6000 --out runs/my", "Train, without predicting test cases"],
  ],
});
