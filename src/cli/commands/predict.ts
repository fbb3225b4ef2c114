import { extensions } from "../../data/formats/index.js";
import { batchFlags, runBatchCommand, strideSetting } from "../batch-command.js";
import { type Command, outFlag } from "../command.js";

export const predict: Command = {
  name: "predict",
  summary: "Label volumes with a trained segmenter, on each input's grid, with the original label ids",
  positionals: [
    {
      name: "inputs",
      help: `Volumes (${extensions.join(", ")}), folders of them, lists or data sets`,
      count: "many",
    },
  ],
  flags: [
    { name: "weights", kind: "text", help: "Segmenter (.safetensors) of a run", required: true },
    outFlag("Folder for the labels: <name>.nii.gz, or .nrrd or .mha as the input", "predictions"),
    { name: "gaussian", kind: "boolean", help: "Let voxels near the middle of a window count more" },
    {
      name: "mirror",
      kind: "boolean",
      help: "Average over the eight mirror images of every window; takes eight times as long",
    },
    { name: "review", kind: "boolean", help: "Write ranking.csv, pictures and review.html" },
    ...batchFlags,
  ],
  settings: strideSetting,
  examples: [
    ["sfr predict images/ --weights runs/my/arms/sfr/segmenter.safetensors --out labels", "Label a folder"],
    ["sfr predict a.nii.gz b.nii.gz --weights w.safetensors --stride 32,32,16", "Label files with a stride"],
  ],
  run: (args, context) =>
    runBatchCommand(
      {
        title: "predict",
        model: args.text("weights"),
        inputs: args.many("inputs"),
        out: args.optional("out") ?? "predictions",
        maps: "none",
        weighting: args.is("gaussian") ? "gaussian" : "uniform",
        mirror: args.is("mirror"),
        review: args.is("review"),
      },
      args,
      context,
    ),
};
