import type { ArmSettings, Config } from "../config/schema.js";
import { UsageError } from "../errors.js";
import { paddedExtent } from "../models/segmenter.js";
import { segmenters } from "../models/segmenters.js";
import { checkStride } from "../predict/windows.js";
import { methods } from "../retrain/methods/index.js";
import { inputPlan } from "../stitch/input-plan.js";
import { areGiven } from "./given-labels.js";

/** One arm of a run, checked and named. */
export interface Arm {
  /** Shown in tables, pictures and curves; says so when SAM started from random weights. */
  readonly name: string;
  /** The name as a folder: lower case letters, digits and dashes. */
  readonly folder: string;
  readonly method: ArmSettings["method"];
  /** Whether the unlabelled crops get pseudo-labels, SAM's or given ones. */
  readonly usesPseudoLabels: boolean;
  /** Trainings before the last one, whose segmenters label the unlabelled volumes: of iterative self-training. */
  readonly rounds: number;
  /** Whether the fine-tuned SAM is needed: as teacher, or as the arm itself. */
  readonly needsSam: boolean;
  /** Of SFR+: the arm at whose end it begins. */
  readonly start?: Arm;
}

/**
 * Arms of a configuration in its order. What would only fail when its stage is reached is refused here.
 *
 * @throws UsageError when two arms have the same name, method and pseudo-labels do not go together, an arm needs
 *   unlabelled cases and the configuration asks for none, or patch, stride and canvas do not fit together
 */
export function planArms(config: Config): Arm[] {
  const isRandom = config.sam.checkpoint === null;
  const named = config.arms.map((settings, index): Arm => {
    checkArm(settings, index, config);
    const usesPseudoLabels = settings.pseudoLabels === "sam" && settings.method !== "sam";
    const given = usesPseudoLabels && areGiven(config.pseudoLabels);
    const needsSam =
      (usesPseudoLabels && !given) || settings.method === "sam" || settings.pseudoLabels === "exchange";
    const own = armName(settings, segmenters[config.segmenter.model].title, needsSam && isRandom);
    const name = given && settings.name === undefined ? `${own} (given labels)` : own;
    const { method, rounds } = settings;
    return { name, folder: folderName(name), method, usesPseudoLabels, rounds, needsSam };
  });
  const arms = named.map((arm, index) =>
    config.arms[index]?.pseudoLabels === "exchange" ? { ...arm, start: startOf(arm, index, named) } : arm,
  );
  for (const [index, arm] of arms.entries()) {
    const same = arms.findIndex((other) => other.folder === arm.folder);
    if (same !== index) {
      throw new UsageError(
        `arms: expected different arms, received '${arms[same]?.name}' as arms[${same}] and '${arm.name}' as ` +
          `arms[${index}]; remove one or give it another name`,
      );
    }
  }
  checkSizes(config, arms);
  checkDisruption(config);
  if (config.data.unlabelled === 0) requireUnlabelled(arms, 0);
  return arms;
}

/** The SFR arm that an SFR+ arm goes on from. */
function startOf({ method, name }: Arm, index: number, arms: readonly Arm[]): Arm {
  const start = arms.find((arm) => arm.method === method && arm.usesPseudoLabels);
  if (start !== undefined) return start;
  throw new UsageError(
    `arms[${index}]: expected an arm to begin from for '${name}', received none; ` +
      `add the arm {method: ${method}, pseudoLabels: sam}`,
  );
}

/**
 * Checks that there is something to learn from.
 *
 * @param count number of unlabelled cases
 * @throws UsageError when there are none and an arm needs them
 */
export function requireUnlabelled(arms: readonly Arm[], count: number): void {
  const needy = arms.find(({ method }) => method !== "sam" && methods[method].usesUnlabelled);
  if (count > 0 || needy === undefined) return;
  throw new UsageError(
    `data.unlabelled: expected at least one unlabelled case for '${needy.name}', received none; ` +
      "add volumes, ask for more, or leave this arm out",
  );
}

/** @throws UsageError when natural images are named and not asked for, or asked for and not named */
function checkDisruption({ finetune }: Config): void {
  const { disruption, naturalImages } = finetune;
  if ((disruption === "natural") === (naturalImages !== null)) return;
  throw new UsageError(
    `finetune.naturalImages: expected a folder with disruption natural and none without, received ${naturalImages} ` +
      `with ${disruption}; change either`,
  );
}

function checkSizes({ patch, predict, sam, segmenter }: Config, arms: readonly Arm[]): void {
  const trained = arms.find(({ method }) => method !== "sam");
  const { title, longestSide } = segmenters[segmenter.model];
  if (trained !== undefined && paddedExtent(Math.max(...patch)) < longestSide) {
    throw new UsageError(
      `patch: expected at least ${longestSide} voxels along one axis for the ${title} of '${trained.name}', ` +
        `received ${patch.join(" x ")}; double one`,
    );
  }
  if (predict.stride !== null) checkStride(patch, predict.stride);
  // It refuses slices that do not fit the canvas.
  if (arms.some(({ needsSam }) => needsSam)) inputPlan(patch, sam);
}

/** What the name of an arm is when the configuration gives none; undefined when there is no such arm. */
function defaultName({ method, pseudoLabels, rounds }: ArmSettings): string | undefined {
  if (method === "sam") return pseudoLabels === "exchange" ? undefined : "SAM alone";
  const { names } = methods[method];
  if (rounds > 0) {
    const base = pseudoLabels === "none" ? names.rounds : pseudoLabels === "sam" ? names.sam : undefined;
    return base === undefined ? undefined : `${base}, ${rounds} round${rounds === 1 ? "" : "s"}`;
  }
  return pseudoLabels === "exchange" ? names.sam?.replace("SFR", "SFR+") : names[pseudoLabels];
}

function armName(settings: ArmSettings, network: string, isRandom: boolean): string {
  const usual = defaultName(settings) ?? settings.method;
  const name = settings.name ?? (settings.method === "labelled-only" ? `${network}, ${usual}` : usual);
  if (!isRandom) return name;
  if (settings.method === "sam" && settings.name === undefined) return "SAM (random start)";
  return /random/i.test(name) ? name : `${name} (random SAM)`;
}

function checkArm(settings: ArmSettings, index: number, config: Config): void {
  const { method, rounds } = settings;
  if (rounds > 0 && (method === "sam" || methods[method].names.rounds === undefined))
    throw new UsageError(
      `arms[${index}]: expected rounds: 0 for method ${method}, received ${rounds}; rounds are self-training's`,
    );
  if (defaultName(settings) === undefined) throw new UsageError(`arms[${index}]: ${whyNot(settings)}`);
  if (method !== "sam") methods[method].checkSettings?.(config);
}

/** Why there is no such arm. */
function whyNot({ method, pseudoLabels, rounds }: ArmSettings): string {
  if (rounds > 0)
    return `expected rounds: 0 for pseudoLabels ${pseudoLabels}, received ${rounds}; SFR+ begins from an arm of rounds`;
  if (pseudoLabels !== "none")
    return (
      `expected pseudoLabels: none for method ${method}, received ${pseudoLabels}; ` +
      "choose a method with unlabelled crops to use them"
    );
  const own =
    method !== "sam" && methods[method].names.rounds !== undefined
      ? ", or set rounds for labels of its own"
      : "";
  return `expected pseudoLabels: sam for method ${method}, received none; it learns from nothing else${own}`;
}

function folderName(name: string): string {
  const folder = name
    .toLowerCase()
    .replaceAll("+", "-plus-")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return folder === "" ? "arm" : folder;
}
