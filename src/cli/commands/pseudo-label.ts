import { batchFlags, runBatchCommand, strideSetting } from "../batch-command.js";
import { type Command, outFlag } from "../command.js";

export const pseudoLabel: Command = {
  name: "pseudo-label",
  summary: "Label a cohort with a fine-tuned SAM, with confidence maps and a ranking of the cases",
  positionals: [],
  flags: [
    {
      name: "model",
      kind: "text",
      help: "Run folder with a fine-tuned SAM, or a weights file (sam.safetensors, segmenter.safetensors)",
      required: true,
    },
    {
      name: "input",
      kind: "text",
      help: "Folder of volumes, list with lines `id image`, or data set, of which the cases without a label are taken",
      required: true,
    },
    outFlag("Folder for labels, maps, manifest, ranking.csv and review.html; a second start goes on in it"),
    ...batchFlags,
  ],
  settings: strideSetting,
  examples: [
    ["sfr pseudo-label --model runs/my --input cohort/ --out labels", "Label a folder"],
    [
      "sfr pseudo-label --model runs/my --input cohort.list --out /shared/labels",
      "Start this on any number of machines: they share the cases",
    ],
  ],
  run: (args, context) =>
    runBatchCommand(
      {
        title: "pseudo-label",
        model: args.text("model"),
        inputs: [args.text("input")],
        out: args.text("out"),
        maps: "confidence",
        weighting: "uniform",
        mirror: false,
        review: true,
      },
      args,
      context,
    ),
};
