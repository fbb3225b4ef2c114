import { DataError } from "../../errors.js";
import type { WeightSet } from "../../graph/weights.js";
import type { TensorSource } from "../../io/tensor-file.js";
import type { SamConfig } from "./config.js";
import { type LoadingReport, SamFile, type TensorPlan } from "./loading.js";

/** LoRA updates of the decoder's attention, which a variant of SAMed has beside those of the encoder. */
const decoderUpdate = /^(sa|cti|cit)_[ab]_\d+$|^fati_/;

/** The SAM that the updates apply to, and the updates. */
interface LoraNetwork {
  readonly weights: WeightSet;
  readonly lora: WeightSet;
  readonly config: SamConfig;
}

/**
 * Copies a LoRA file of the SFR authors, of SAMed or of this program into a network that has its checkpoint already:
 * w_a_000, w_b_000, ... (two pairs a block, q then v; ours of other targets as lora.ts names them), and those of
 * prompt_encoder.* and mask_decoder.* that it holds.
 * A decoder for other classes gives what does not depend on them.
 *
 * @throws DataError when the file has no updates, updates of another rank, of another number of blocks or of the decoder,
 *   or a tensor that does not fit
 */
export async function loadLoraFile(network: LoraNetwork, source: TensorSource): Promise<LoadingReport> {
  const file = new SamFile(source, network.config);
  refuseOtherUpdates(file, network.lora);
  const plans = new Map<string, TensorPlan>();
  for (const [name, spec] of network.lora.specs) plans.set(name, file.plan(name, spec, "kept"));
  const lacking = [...plans].find(([, { kind }]) => kind === "kept");
  if (lacking !== undefined)
    throw new DataError(`sam: expected LoRA tensor ${lacking[0]}, received none; ${sizeCure}`);
  for (const [name, spec] of network.weights.specs)
    if (!name.startsWith("image_encoder.")) plans.set(name, file.plan(name, spec, "kept"));
  for (const [name, plan] of plans) {
    if (!("fileName" in plan)) continue;
    const target = network.lora.specs.has(name) ? network.lora : network.weights;
    target.set(name, await source.read(plan.fileName));
  }
  return file.report(plans);
}

const sizeCure = "give updates of this size of SAM, with sam.targets as they were trained";

function refuseOtherUpdates(file: SamFile, lora: WeightSet): void {
  const names = file.officialNames();
  const first = names.find((name) => name.startsWith("w_a_"));
  if (first === undefined)
    throw new DataError(
      "sam: expected LoRA updates (w_a_000, ...), received none; a whole SAM goes to sam.checkpoint",
    );
  const received = file.info(first)?.shape[0];
  const [rank] = [...lora.specs].flatMap(([name, { torchShape }]) =>
    name.startsWith("w_a_") ? torchShape[0] : [],
  );
  if (received !== rank)
    throw new DataError(
      `sam: expected LoRA updates of rank ${rank}, received ${received}; set sam.rank to ${received}`,
    );
  const ofDecoder = names.find((name) => decoderUpdate.test(name));
  if (ofDecoder !== undefined)
    throw new DataError(
      `sam: expected updates of the encoder's q and v alone, received ${ofDecoder} of the decoder; ` +
        "merge it into mask_decoder's weights (W + B A) first",
    );
  const surplus = names.find((name) => /^w_[ab]_/.test(name) && !lora.specs.has(name));
  if (surplus !== undefined)
    throw new DataError(`sam: expected no LoRA tensor ${surplus}, received it; ${sizeCure}`);
}
