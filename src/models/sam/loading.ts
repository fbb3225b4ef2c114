import { DataError } from "../../errors.js";
import type { WeightSpec } from "../../graph/weights.js";
import type { TensorInfo, TensorSource } from "../../io/tensor-file.js";
import { type SamConfig, samSizeOfWidth } from "./config.js";
import { officialNames } from "./names.js";
import { isResizable } from "./position-tables.js";

/** What became of each tensor, by official name; those that are ignored by the name in the file. */
export interface LoadingReport {
  /** Used as they are, converted to f32 where the file holds another float. */
  readonly taken: readonly string[];
  /** Position tables that were brought to the canvas's grid. */
  readonly resized: readonly string[];
  /** At their random start: not in the file, or made for another number of classes. */
  readonly initialised: readonly string[];
  /** With the values that an earlier file gave: LoRA files do not hold the encoder. */
  readonly kept: readonly string[];
  /** In the file, without a place in this network. */
  readonly ignored: readonly string[];
}

/** How one tensor of the network gets its values, and from which tensor of the file. */
export type TensorPlan = { kind: "taken" | "resized"; fileName: string } | { kind: "initialised" | "kept" };

/** Tensors whose size depends on the number of classes: those of a file for other classes are not used. */
const perClass = /^mask_decoder\.(mask_tokens|output_hypernetworks_mlps|iou_prediction_head)/;

const floats: ReadonlySet<string> = new Set(["f64", "f32", "f16", "bf16"]);

/** Tensors of a SAM file by official name. */
export class SamFile {
  private readonly names: ReadonlyMap<string, string>;
  private readonly hasOtherClasses: boolean;

  constructor(
    private readonly source: TensorSource,
    private readonly config: SamConfig,
  ) {
    this.names = officialNames(source.tensors.keys());
    const tokens = this.info("mask_decoder.mask_tokens.weight");
    this.hasOtherClasses = tokens !== undefined && tokens.shape[0] !== config.classes;
  }

  /** Official names, in the order of the file. */
  officialNames(): string[] {
    return [...this.names.keys()];
  }

  /** Type and shape of a tensor; undefined when the file has none of that name. */
  info(name: string): TensorInfo | undefined {
    return this.source.tensors.get(this.names.get(name) ?? "");
  }

  /**
   * Where a tensor's values come from.
   *
   * @param otherwise when the file has no values for it
   * @throws DataError when the file's tensor does not fit
   */
  plan(name: string, spec: WeightSpec, otherwise: "initialised" | "kept"): TensorPlan {
    const info = this.info(name);
    const fileName = this.names.get(name);
    if (info === undefined || fileName === undefined || (this.hasOtherClasses && perClass.test(name)))
      return { kind: otherwise };
    if (!floats.has(info.dtype))
      throw new DataError(
        `sam: expected f32, f16, bf16 or f64 for ${name}, received ${info.dtype}; save it as floats`,
      );
    if (info.shape.join() === spec.torchShape.join()) return { kind: "taken", fileName };
    if (isResizable(name, info.shape, spec.torchShape, this.config)) return { kind: "resized", fileName };
    throw new DataError(
      `sam: expected shape [${spec.torchShape.join(", ")}] for ${name}, received [${info.shape.join(", ")}]; ` +
        this.sizeHint(),
    );
  }

  /** What to do about a file of another size. */
  sizeHint(): string {
    const width = this.info("image_encoder.pos_embed")?.shape[3];
    const size = width === undefined ? undefined : samSizeOfWidth(width);
    return size === undefined
      ? "give weights of this size"
      : `give weights of this size, or set sam.size to ${size}`;
  }

  /** Gathers what was planned. */
  report(plans: ReadonlyMap<string, TensorPlan>): LoadingReport {
    const of = (kind: TensorPlan["kind"]) =>
      [...plans].flatMap(([name, plan]) => (plan.kind === kind ? [name] : []));
    const used = new Set([...plans.values()].map((plan) => ("fileName" in plan ? plan.fileName : undefined)));
    return {
      taken: of("taken"),
      resized: of("resized"),
      initialised: of("initialised"),
      kept: of("kept"),
      ignored: [...this.source.tensors.keys()].filter((name) => !used.has(name)),
    };
  }
}

/** The counts of a report on one line, with the names where there are few. */
export function loadingSummary({ taken, resized, initialised, ignored }: LoadingReport): string {
  const part = (names: readonly string[], what: string) =>
    names.length === 0 ? [] : [`${names.length} ${what}${names.length <= 3 ? ` (${names.join(", ")})` : ""}`];
  return [
    `${taken.length} tensors taken`,
    ...part(resized, "resized to the canvas"),
    ...part(initialised, "freshly initialised"),
    ...part(ignored, "ignored"),
  ].join(", ");
}
