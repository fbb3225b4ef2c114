import { plainPlan } from "../data/preprocessing-plan.js";
import { type JsonValue, stageKey } from "../io/stage-key.js";
import { methods } from "../retrain/methods/index.js";
import type { Arm } from "./plan.js";
import type { RunContext } from "./stage.js";

/**
 * SHA-256 of SAM's checkpoint, of its LoRA updates, of the natural images and of a record that SFR+ replays, of each that
 * there is.
 */
export type FileHashes = { readonly [name in "sam" | "lora" | "natural" | "replay"]?: string };

type JsonSettings = { readonly [name: string]: JsonValue };

/** Content keys of the stages of a run: equal keys mean that a stage's files can be used as they are. */
export class StageKeys {
  private readonly common: JsonValue;

  constructor(
    private readonly context: RunContext,
    private readonly fileHashes: FileHashes,
  ) {
    const { config, cases } = context;
    this.common = {
      seed: config.seed,
      patch: config.patch,
      halve: config.data.halve,
      ...this.preparation(),
      frame: config.data.frame ?? undefined,
      // Nothing for the first, as before there was a choice.
      ...(config.data.samChannel === 0 ? {} : { samChannel: config.data.samChannel }),
      labelIds: cases.labelIds,
      labelled: cases.hashesOf(cases.split.labelled),
    };
  }

  prepare(): string {
    return stageKey({ stage: "prepare", common: this.common, unlabelled: this.unlabelled() });
  }

  finetune(): string {
    const { sam } = this.context.config;
    const { naturalImages: _, ...training } = this.context.config.finetune;
    // The paths of the files do not matter, their bytes do.
    const network = {
      ...without(sam, { adapterRatio: 0.25, input: "native", scale: 9 }),
      checkpoint: this.fileHashes.sam ?? null,
      lora: this.fileHashes.lora ?? null,
    };
    const finetune = {
      ...without(training, { disruption: "none" }),
      naturalImages: this.fileHashes.natural,
    };
    return stageKey({ stage: "finetune", common: this.common, sam: network, finetune, ...this.precision() });
  }

  pseudoLabels(): string {
    return stageKey({ stage: "pseudo-label", finetune: this.finetune(), unlabelled: this.unlabelled() });
  }

  /** Of the weights of an arm; the fine-tuned SAM's for SAM alone. */
  weights(arm: Arm): string {
    if (arm.method === "sam") return this.finetune();
    if (arm.start !== undefined) return this.exchange(arm.start);
    const { segmenter, retrain, pseudoLabels, predict } = this.context.config;
    const given = this.context.givenLabels?.hash;
    // Of files the path does not matter, their bytes do.
    const teacher =
      given === undefined ? { pseudoLabels, teacher: this.pseudoLabels() } : { pseudoLabels: given };
    const usesUnlabelled = methods[arm.method].usesUnlabelled;
    return stageKey({
      stage: "retrain",
      common: this.common,
      segmenter,
      retrain,
      method: arm.method,
      ...this.precision(),
      ...(usesUnlabelled ? { unlabelled: this.unlabelled() } : {}),
      ...(arm.usesPseudoLabels ? teacher : {}),
      // The segmenters of earlier rounds label volumes.
      ...(arm.rounds > 0 ? { rounds: arm.rounds, stride: predict.stride } : {}),
    });
  }

  /** Of what SFR+ makes of an arm. */
  private exchange(start: Arm): string {
    const exchange = { ...this.context.config.exchange, replay: this.fileHashes.replay ?? null };
    return stageKey({ stage: "exchange", start: this.weights(start), exchange });
  }

  predict(arm: Arm): string {
    const { config, cases } = this.context;
    return stageKey({
      stage: "predict",
      weights: this.weights(arm),
      stride: config.predict.stride,
      test: cases.split.test.map(({ id }) => id),
      hashes: cases.hashesOf(cases.split.test),
    });
  }

  evaluate(arm: Arm): string {
    return stageKey({ stage: "evaluate", predict: this.predict(arm) });
  }

  /** Nothing for volumes and labels as they are: keys of runs before there were plans stay. */
  private preparation(): { readonly [name: string]: JsonValue } {
    const { plan, relabel } = this.context.cases;
    // Half resolution has a key of its own.
    const isPlain = stageKey({ ...plan, halve: false }) === stageKey(plainPlan);
    return {
      ...(isPlain ? {} : { plan }),
      ...(Object.keys(relabel).length === 0 ? {} : { relabel }),
    };
  }

  /** Nothing for f32, so that what was made before there was a choice is still known. */
  private precision(): { readonly precision?: string } {
    const { precision } = this.context.config;
    return precision === "f32" ? {} : { precision };
  }

  private unlabelled(): string[] {
    return this.context.cases.hashesOf(this.context.cases.split.unlabelled);
  }
}

/** Settings but for those at a value that all had before there was a choice: what was made then is still known. */
function without(settings: JsonSettings, usual: JsonSettings): JsonSettings {
  return Object.fromEntries(Object.entries(settings).filter(([key, value]) => usual[key] !== value));
}
