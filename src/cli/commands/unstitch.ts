import { basename } from "node:path";
import type { Command } from "../command.js";

export const unstitch: Command = {
  name: "unstitch",
  summary: "Read label canvases back to a label file on the grid of their volume",
  positionals: [
    { name: "record", help: "The <name>_canvas.json that `stitch` wrote beside the pictures", count: "one" },
  ],
  flags: [
    { name: "out", kind: "text", help: "Label file to write (.nii.gz, .nii)", default: "<name>.nii.gz" },
  ],
  settings: [],
  examples: [["sfr unstitch canvases/heart_canvas.json --out heart_label.nii.gz", "Get drawn labels back"]],
  async run(args, context) {
    const record = args.text("record");
    const out = args.optional("out") ?? `${basename(record).replace(/(_canvas)?\.json$/, "")}.nii.gz`;
    await context.engine();
    const { readCanvases } = await import("../../stitch/canvas-files.js");
    const { writeLabels } = await import("../../data/volume-file.js");
    const labels = await readCanvases(record);
    await writeLabels(out, labels, labels);
    const ids = [...new Set(labels.data)].sort((a, b) => a - b);
    context.result(`${out}: ${labels.shape.join(" x ")} voxels, label ids ${ids.join(", ")}`, {
      file: out,
      shape: labels.shape,
      labelIds: ids,
    });
    return undefined;
  },
};
