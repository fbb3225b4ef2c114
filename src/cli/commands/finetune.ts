import { stageCommand } from "../run-command.js";

export const finetune = stageCommand({
  name: "finetune",
  summary: "Run the stages of a configuration up to the fine-tuned SAM",
  until: "finetune",
  examples: [
    [
      "sfr finetune my.yaml --out runs/my",
      "Fine-tune SAM; `sfr run` with the same folder goes on from there",
    ],
    ["sfr finetune my.yaml --sam-checkpoint sam_vit_b.pth --sam-rank 8", "LoRA on a pretrained SAM"],
  ],
});
