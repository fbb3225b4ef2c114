import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { csvFields, csvLine } from "../io/csv.js";
import { type CropConfidence, confidenceBins } from "./confidence.js";
import type { Route } from "./route.js";

/** One unlabelled crop of one step. */
export interface ExchangeSample extends CropConfidence {
  /** From 1. */
  readonly step: number;
  /** Its place among the step's unlabelled crops, from 0. */
  readonly sample: number;
  /** Id of its case. */
  readonly caseId: string;
  readonly route: Route;
  /**
   * Loss of the update that the crop took part in: SAM's with this crop and a labelled one, or L_pl of the segmenter's
   * with all crops routed there.
   */
  readonly loss: number | null;
}

const columns = [
  "step",
  "sample",
  "case",
  "confidence",
  "foreground_confidence",
  "route",
  "loss",
  ...confidenceBins.map((edge) => `share_from_${edge}`),
];

/** The record of an exchange as CSV, a line per step and unlabelled crop. It grows with the steps. */
export class ExchangeLog {
  private constructor(private readonly path: string) {}

  /** Opens the record of a training that goes on after `step` steps: later lines are dropped. */
  static async open(path: string, step: number): Promise<ExchangeLog> {
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\r\n") : [];
    const kept = lines.slice(1).filter((line) => line !== "" && Number.parseInt(line, 10) <= step);
    await writeFileAtomic(path, csvLine(columns) + kept.map((line) => `${line}\r\n`).join(""));
    return new ExchangeLog(path);
  }

  /** @throws DataError when the disk is full */
  append(samples: readonly ExchangeSample[]): void {
    const lines = samples.map((sample) =>
      csvLine([
        sample.step,
        sample.sample,
        sample.caseId,
        sample.mean,
        sample.foreground,
        sample.route,
        sample.loss,
        ...sample.histogram,
      ]),
    );
    try {
      appendFileSync(this.path, lines.join(""));
    } catch (error) {
      throw new DataError(
        `exchange: expected to write ${this.path}, received ${String(error)}; check free space and permissions`,
        { cause: error },
      );
    }
  }
}

/**
 * Reads the record of an exchange.
 *
 * @throws DataError naming the line that is none of it
 */
export function readExchange(path: string): ExchangeSample[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new DataError(`${path}: expected a readable file, received ${String(error)}; check the path`, {
      cause: error,
    });
  }
  const [header, ...lines] = text.trimEnd().split(/\r?\n/);
  if (header === undefined || csvFields(header).join() !== columns.join())
    throw new DataError(
      `${path}:1: expected the columns ${columns.join(", ")}, received '${header?.slice(0, 80)}'; ` +
        "give exchange.csv of an SFR+ arm",
    );
  return lines.map((line, index) => readLine(line, `${path}:${index + 2}`));
}

function readLine(line: string, where: string): ExchangeSample {
  const [step, sample, caseId = "", mean, foreground, route, loss, ...histogram] = csvFields(line);
  const optional = (field: string | undefined) => (field === "" ? null : Number(field));
  const values = {
    ...{ step: Number(step), sample: Number(sample), mean: Number(mean) },
    ...{ foreground: optional(foreground), loss: optional(loss), histogram: histogram.map(Number) },
  };
  const isWhole = Number.isInteger(values.step) && Number.isInteger(values.sample);
  if (isWhole && histogram.length === confidenceBins.length && (route === "finetune" || route === "retrain"))
    return { ...values, caseId, route };
  throw new DataError(
    `${where}: expected a step, a crop and its route, received '${line.slice(0, 80)}'; take an unchanged file`,
  );
}
