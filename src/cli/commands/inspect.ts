import { type Command, frameFlag } from "../command.js";

export const inspect: Command = {
  name: "inspect",
  summary: "Show what a volume, a data set or a checkpoint holds",
  positionals: [
    { name: "path", help: "Volume, folder of a data set or run, list file, or weights file", count: "one" },
  ],
  flags: [frameFlag],
  settings: [],
  examples: [
    ["sfr inspect heart.nii.gz", "Extents, spacing, affine, value range, label ids"],
    ["sfr inspect DATA --json", "Layout and cases of a data set"],
    ["sfr inspect segmenter.safetensors", "Tensors and metadata"],
  ],
  async run(args, context) {
    const { inspectPath } = await import("../inspection.js");
    const { lines, value } = await inspectPath(args.text("path"), args.integer("frame", 0) ?? null);
    context.result(lines.join("\n"), value);
    return undefined;
  },
};
