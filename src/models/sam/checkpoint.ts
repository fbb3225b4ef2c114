import { DataError } from "../../errors.js";
import type { WeightSet } from "../../graph/weights.js";
import type { TensorSource } from "../../io/tensor-file.js";
import type { SamConfig } from "./config.js";
import { type LoadingReport, SamFile, type TensorPlan } from "./loading.js";
import { resizeTable } from "./position-tables.js";

/**
 * Copies a SAM checkpoint into a network; names as officialNames() knows them. When the canvas is not the checkpoint's,
 * the absolute position table and the relative tables of the global blocks are resized bilinearly. What is taken is
 * decided by names and shapes before a tensor is read; one tensor of the file at a time is in memory.
 *
 * @throws DataError when an encoder tensor is missing, left over or does not fit, another one that does not depend on the
 *   number of classes does not fit, or the file holds LoRA updates
 */
export async function loadSamCheckpoint(
  weights: WeightSet,
  source: TensorSource,
  config: SamConfig,
): Promise<LoadingReport> {
  const file = new SamFile(source, config);
  const update = [...source.tensors.keys()].find((name) => name.startsWith("w_a_"));
  if (update !== undefined)
    throw new DataError(
      `sam: expected a whole SAM as checkpoint, received LoRA updates (${update}, ...); give the SAM that they were ` +
        "trained on as sam.checkpoint, and these as sam.lora",
    );
  const plans = new Map<string, TensorPlan>();
  for (const [name, spec] of weights.specs) plans.set(name, file.plan(name, spec, "initialised"));
  refuseUnlikeEncoder(plans, file);
  for (const [name, plan] of plans) {
    if (!("fileName" in plan)) continue;
    const tensor = await source.read(plan.fileName);
    weights.set(name, plan.kind === "resized" ? resizeTable(name, tensor, config) : tensor);
  }
  weights.initialiseRest();
  return file.report(plans);
}

function refuseUnlikeEncoder(plans: ReadonlyMap<string, TensorPlan>, file: SamFile): void {
  const isEncoder = (name: string) => name.startsWith("image_encoder.");
  const lacking = [...plans].find(([name, { kind }]) => isEncoder(name) && kind === "initialised");
  if (lacking !== undefined)
    throw new DataError(
      `sam: expected tensor ${lacking[0]} in the checkpoint, received none; ${file.sizeHint()}`,
    );
  const surplus = file.officialNames().find((name) => isEncoder(name) && !plans.has(name));
  if (surplus !== undefined)
    throw new DataError(
      `sam: expected an encoder without ${surplus}, received a checkpoint with it; ${file.sizeHint()}`,
    );
}
