import { asd } from "./asd.js";
import { assd } from "./assd.js";
import { dice } from "./dice.js";
import type { ClassEvidence, Counts } from "./evidence.js";
import { hd } from "./hd.js";
import { hd95 } from "./hd95.js";
import { jaccard } from "./jaccard.js";
import { nsd } from "./nsd.js";
import { precision } from "./precision.js";
import { recall } from "./recall.js";
import { volumeError } from "./volume-error.js";

/** What a metric measures: a share from 0 to 1, a distance in mm or voxels, or a relative difference. */
type Kind = "overlap" | "distance" | "volume";

/** Every metric that is reported, in the order of files; one line and one file each. */
const metrics = {
  Dice: { kind: "overlap", of: dice },
  IoU: { kind: "overlap", of: jaccard },
  Jaccard: { kind: "overlap", of: jaccard },
  Precision: { kind: "overlap", of: precision },
  Recall: { kind: "overlap", of: recall },
  NSD: { kind: "overlap", of: nsd },
  HD95: { kind: "distance", of: hd95 },
  HD: { kind: "distance", of: hd },
  ASD: { kind: "distance", of: asd },
  ASSD: { kind: "distance", of: assd },
  VolumeError: { kind: "volume", of: volumeError },
} satisfies Record<string, { kind: Kind; of: (evidence: ClassEvidence) => number | null }>;

export type MetricName = keyof typeof metrics;

/** One value per metric; null where it is not defined. */
export type MetricScores = Readonly<Record<MetricName, number | null>>;

export const metricNames = Object.keys(metrics) as MetricName[];

/** Distance up to which NSD counts surfaces as equal unless told otherwise, in mm or voxels. */
export const defaultTolerance = 1;

/** Metrics that tables show, with digits behind the point; more is better for overlaps, less for distances. */
export const tableMetrics = [
  { name: "Dice", digits: 3 },
  { name: "Jaccard", digits: 3 },
  { name: "HD95", digits: 2 },
  { name: "ASD", digits: 2 },
] as const satisfies readonly { name: MetricName; digits: number }[];

/** Whether the metric's unit is that of the voxel spacing. */
export function isDistance(name: string): boolean {
  return metricNames.some((metric) => metric === name && metrics[metric].kind === "distance");
}

/** How a class that a case lacks is scored (see `scoresByRule`). */
export const missingClassRule =
  "A class that is in neither prediction nor reference is left out, one that is in only one of them has Dice, Jaccard " +
  "and the like 0 and no distances.";

/** What is said of a class by `value`, or by the rule for absent classes where a volume lacks it. */
export function scoresByRule(
  { nPred, nRef }: Counts,
  value: (name: MetricName) => number | null,
): MetricScores {
  const isAbsent = nPred === 0 && nRef === 0;
  const isMissed = !isAbsent && (nPred === 0 || nRef === 0);
  const byRule = (name: MetricName): number | null => {
    if (isAbsent) return null;
    if (!isMissed) return value(name);
    if (metrics[name].kind === "overlap") return 0;
    return metrics[name].kind === "volume" && nPred === 0 ? -1 : null;
  };
  return Object.fromEntries(metricNames.map((name) => [name, byRule(name)])) as Record<
    MetricName,
    number | null
  >;
}

/** All metrics of one class; `evidence` is there when both volumes have it. */
export function scoreEvidence(counts: Counts, evidence: ClassEvidence | undefined): MetricScores {
  return scoresByRule(counts, (name) => (evidence === undefined ? null : metrics[name].of(evidence)));
}
