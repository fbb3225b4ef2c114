import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseFlag } from "../../config/load.js";
import { predictSettings, type Voxels } from "../../config/schema.js";
import { settings } from "../../config/settings.js";
import type { Case } from "../../data/cases.js";
import { extensions, formatOf } from "../../data/formats/index.js";
import { isCaseError, messageOf } from "../../error-text.js";
import { UsageError } from "../../errors.js";
import { type Command, exitCodes, outFlag } from "../command.js";
import { findInputs } from "../inputs.js";

const stride = settings
  .filter(({ path }) => path === "predict.stride")
  .map((item) => ({ ...item, flag: "stride" }));

export const predict: Command = {
  name: "predict",
  summary: "Label volumes with a trained segmenter, on each input's grid, with the original label ids",
  positionals: [
    { name: "inputs", help: `Volumes (${extensions.join(", ")}) or folders of them`, count: "many" },
  ],
  flags: [
    { name: "weights", kind: "text", help: "Segmenter (.safetensors) of a run", required: true },
    outFlag("Folder for the labels: <name>.nii.gz, or .nrrd or .mha as the input", "predictions"),
  ],
  settings: stride,
  examples: [
    ["sfr predict images/ --weights runs/my/arms/sfr/segmenter.safetensors --out labels", "Label a folder"],
    ["sfr predict a.nii.gz b.nii.gz --weights w.safetensors --stride 32,32,16", "Label files with a stride"],
  ],
  async run(args, context) {
    const weights = args.text("weights");
    const out = args.optional("out") ?? "predictions";
    const chosenStride = readStride(args.overrides["predict.stride"]);
    const inputs = await findInputs(args.many("inputs"));
    await context.engine();
    const { VolumePredictor } = await import("../../run/predict-volumes.js");
    using predictor = await VolumePredictor.load(weights, chosenStride);
    await mkdir(out, { recursive: true });
    const failures: Record<string, string> = {};
    const written: string[] = [];
    const start = performance.now();
    context.progress.begin("predict", inputs.length, 0, "cases");
    for (const [index, entry] of inputs.entries()) {
      const path = join(out, `${entry.id}${formatOf(entry.image).resultExtension}`);
      const problem = await predictOne(predictor, entry, path, context.signal);
      if (problem === undefined) written.push(path);
      else {
        failures[entry.image] = problem;
        // A file of an earlier start must not pass for this one's.
        await rm(path, { force: true });
        context.progress.problem(problem);
      }
      context.progress.update(index + 1);
    }
    context.progress.end((performance.now() - start) / 1000);
    context.result(written.join("\n"), { written, failures });
    if (written.length === inputs.length) return exitCodes.ok;
    return written.length === 0 ? exitCodes.data : exitCodes.someCasesFailed;
  },
};

/** @returns what went wrong with this case, if anything */
async function predictOne(
  predictor: { label(entry: Case, path: string, signal: AbortSignal): Promise<void> },
  entry: Case,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await predictor.label(entry, path, signal);
    return undefined;
  } catch (error) {
    if (!isCaseError(error)) throw error;
    return messageOf(error);
  }
}

function readStride(given: unknown): Voxels | null {
  const [setting] = stride;
  if (given === undefined || setting === undefined) return null;
  const parsed = predictSettings.shape.stride.safeParse(parseFlag(setting, given));
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `--stride: expected ${setting.range}, received ${JSON.stringify(given)}; correct the value`,
  );
}
