import { join } from "node:path";
import { UsageError } from "../../errors.js";
import { type MetricName, metricNames, tableMetrics } from "../../metrics/index.js";
import type { Command } from "../command.js";

export const compare: Command = {
  name: "compare",
  summary: "Compare the scores of two sets of predictions, case by case",
  positionals: [
    { name: "first", help: "summary.json, or the folder that holds it", count: "one" },
    { name: "second", help: "The other one, of the same cases", count: "one" },
  ],
  flags: [
    {
      name: "metrics",
      kind: "text",
      help: `Metrics with commas between, of ${metricNames.join(", ")}`,
      default: tableMetrics.map(({ name }) => name).join(","),
    },
  ],
  settings: [],
  examples: [
    [
      "sfr compare RUN/arms/mean-teacher RUN/arms/mean-teacher-sam",
      "Mean differences, intervals, Wilcoxon's p",
    ],
    ["sfr compare nnunet/summary.json ours/summary.json --metrics Dice", "nnU-Net's file against ours"],
  ],
  async run(args, context) {
    const metrics = parseMetrics(args.optional("metrics"));
    const { pathKind } = await import("../../data/layouts/layout.js");
    const { readSummary } = await import("../../metrics/summary.js");
    const { compareSummaries } = await import("../../metrics/compare.js");
    const { comparisonTable } = await import("../../run/comparison-table.js");
    const read = async (name: string) => {
      const path = args.text(name);
      return readSummary((await pathKind(path)) === "folder" ? join(path, "summary.json") : path);
    };
    const [first, second] = [await read("first"), await read("second")];
    const comparisons = compareSummaries(first, second, metrics);
    context.result(
      comparisonTable(comparisons, first.distance_unit),
      JSON.parse(JSON.stringify(comparisons)),
    );
    return undefined;
  },
};

function parseMetrics(text: string | undefined): MetricName[] {
  if (text === undefined) return tableMetrics.map(({ name }) => name);
  return text.split(",").map((word) => {
    const known = metricNames.find((name) => name.toLowerCase() === word.trim().toLowerCase());
    if (known !== undefined) return known;
    throw new UsageError(
      `--metrics: expected names of ${metricNames.join(", ")}, received '${word}'; check the spelling`,
    );
  });
}
