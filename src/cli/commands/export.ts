import { settings } from "../../config/settings.js";
import type { Parity } from "../../onnx/parity.js";
import { type Command, outFlag } from "../command.js";

export const exportCommand: Command = {
  name: "export",
  summary: "Write SAM or a segmenter of a run as ONNX, compared with the native engine",
  positionals: [],
  flags: [
    {
      name: "model",
      kind: "text",
      help: "Stage of a run (finetune, arms/<name>), its weights, or a run with one model",
      required: true,
    },
    outFlag("File to write, FILE.onnx; beside it FILE.parity.json, and FILE.onnx.data above 2 GB"),
  ],
  settings: settings.filter(({ path }) => path === "sam.checkpoint"),
  examples: [
    ["sfr export --model runs/my/arms/sfr --out segmenter.onnx", "A segmenter"],
    ["sfr export --model runs/my/finetune --out sam.onnx", "SAM with its LoRA updates merged"],
  ],
  async run(args, context) {
    const checkpoint = args.overrides["sam.checkpoint"];
    await context.engine();
    const { exportModel } = await import("../../run/export-model.js");
    const request = {
      model: args.text("model"),
      out: args.text("out"),
      samCheckpoint: checkpoint === undefined ? undefined : String(checkpoint),
    };
    const { files, parity, title, notes } = await exportModel(request, context.signal);
    for (const note of notes) context.progress.note(note);
    const lines = [`${files.join(", ")}: ${title}`, ...(parity === null ? [] : [parityLine(parity)])];
    context.result(lines.join("\n"), { files, title, parity: parity === null ? null : { ...parity }, notes });
    return undefined;
  },
};

function parityLine({
  input,
  onnxruntime,
  absoluteError,
  relativeError,
  bound,
  equalArgmax,
  seconds,
}: Parity): string {
  const error = `${absoluteError.toExponential(1)}, ${relativeError.toExponential(1)} of the largest (at most ${bound.toExponential(1)})`;
  return (
    `parity with the native engine on ${input}: logits differ by at most ${error}; ` +
    `${(100 * equalArgmax).toFixed(3)} % equal labels; ${seconds.toFixed(2)} s in ONNX Runtime ${onnxruntime}`
  );
}
