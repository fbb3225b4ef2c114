import { UsageError } from "../../errors.js";
import type { Command } from "../command.js";

/** Three whole numbers as flags write them: 112,112,80 or 112x112x80. */
const voxels = /^(\d+)[,x](\d+)[,x](\d+)$/;

export const convert: Command = {
  name: "convert",
  summary:
    "Write weights in the other format: safetensors, or .pth that PyTorch loads with weights_only=True",
  positionals: [
    { name: "input", help: "Weights (.safetensors, .pth, .pt, .bin)", count: "one" },
    { name: "output", help: "File to write, .safetensors or .pth", count: "one" },
  ],
  flags: [
    {
      name: "patch",
      kind: "text",
      help: "The input is a V-Net or 3D U-Net of PyTorch, trained on patches of so many voxels x,y,z: write a segmenter for `predict`",
    },
  ],
  settings: [],
  examples: [
    [
      "sfr convert runs/my/finetune/sam.safetensors lora.pth",
      "SAM's LoRA updates for the authors' programs and SAMed",
    ],
    ["sfr convert runs/my/arms/sfr/segmenter.safetensors iter_6000.pth", "A V-Net for the authors' programs"],
    [
      "sfr convert iter_6000.pth segmenter.safetensors --patch 112,112,80",
      "A V-Net of theirs for `sfr predict`",
    ],
  ],
  async run(args, context) {
    const [input, output] = [args.text("input"), args.text("output")];
    const { convertWeights } = await import("../../run/convert-weights.js");
    const { tensors, notes } = await convertWeights(input, output, readPatch(args.optional("patch")));
    for (const note of notes) context.progress.note(note);
    context.result(`${output}: ${tensors} tensors`, { output, tensors, notes });
    return undefined;
  },
};

function readPatch(text: string | undefined): readonly [number, number, number] | undefined {
  if (text === undefined) return undefined;
  const [, x, y, z] = voxels.exec(text) ?? [];
  if (x === undefined || y === undefined || z === undefined)
    throw new UsageError(
      `--patch: expected three whole numbers x,y,z, received ${JSON.stringify(text)}; correct the value`,
    );
  return [Number(x), Number(y), Number(z)];
}
