import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { csvFields } from "../io/csv.js";
import type { tableMetrics } from "../metrics/index.js";
import type { MethodName } from "../retrain/methods/index.js";

/** A metric that the paper's tables have. */
export type PaperMetric = (typeof tableMetrics)[number]["name"];

/** A row of the paper's tables: overlaps from 0 to 1, distances in voxels; null where it prints none. */
export interface PaperFigure {
  /** Roman number of the table. */
  readonly table: string;
  readonly dataset: string;
  /** Labelled and unlabelled volumes: `16/64`. */
  readonly setting: string;
  readonly method: string;
  readonly scores: Readonly<Record<PaperMetric, number | null>>;
}

/** Where the figures lie: the paper's tables with one line a row, overlaps in per cent as printed. */
const figuresPath = fileURLToPath(new URL("../../../configs/paper/figures.csv", import.meta.url));

let read: readonly PaperFigure[] | undefined;

/** All rows of the paper's tables that report one of the metrics. */
function paperFigures(): readonly PaperFigure[] {
  read ??= readFileSync(figuresPath, "utf8")
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line): PaperFigure => {
      const [table = "", dataset = "", setting = "", method = "", ...values] = csvFields(line);
      const [dice, jaccard, hd95, asd] = values.map((value) => (value === "" ? null : Number(value)));
      const share = (value: number | null | undefined) =>
        value == null ? null : Math.round(100 * value) / 1e4;
      const scores = { Dice: share(dice), Jaccard: share(jaccard), HD95: hd95 ?? null, ASD: asd ?? null };
      return { table, dataset, setting, method, scores };
    });
  return read;
}

/** Names of the paper's data sets. */
export function paperDatasets(): string[] {
  return [...new Set(paperFigures().map(({ dataset }) => dataset))];
}

/** Whose pseudo-labels a row has, as `arms[].pseudoLabels`. */
export type PseudoLabelKind = "none" | "sam" | "exchange";

/** Names in the paper's tables. It does not say which of ACMT's selectors it has; Ent is the usual one. */
const paperNames: Readonly<Partial<Record<MethodName, string>>> = {
  "self-training": "ST",
  "mean-teacher": "MT",
  "ua-mt": "UA-MT",
  cps: "CPS",
  ict: "ICT",
  urpc: "URPC",
  dtc: "DTC",
  cct: "CCT",
  bcp: "BCP",
  "ss-net": "SS-Net",
  magicnet: "MagicNet",
  "acmt-ent": "ACMT",
};

/** The name that a row has in the paper; undefined when it has none. */
export function paperName(method: MethodName | "sam", kind: PseudoLabelKind): string | undefined {
  if (method === "sam") return "SFR_FT";
  if (method === "labelled-only") return "LB";
  const name = paperNames[method];
  if (name === undefined || kind === "none") return name;
  return `${kind === "sam" ? "SFR" : "SFR+"}_${name}`;
}

/**
 * What the paper reports.
 *
 * @param labelled number of labelled volumes; undefined for a system that has one row for the data set
 */
export function paperFigure(
  dataset: string,
  name: string,
  labelled: number | undefined,
): PaperFigure | undefined {
  const fits = (figure: PaperFigure) =>
    name === "LB" ? figure.method.endsWith("(LB)") : figure.method === name;
  return paperFigures().find(
    (figure) =>
      figure.dataset === dataset &&
      fits(figure) &&
      (labelled === undefined || figure.setting.startsWith(`${labelled}/`)),
  );
}
