import type { CurveGroup } from "../viewer/curves.js";
import type { ChartSeries } from "../viewer/svg-chart.js";
import type { ExchangeSample } from "./record.js";

/** The record of an SFR+ arm. */
interface RecordedArm {
  readonly name: string;
  readonly samples: readonly ExchangeSample[];
}

/** Bins of the histogram of C over crops. */
const bins = 40;
/** Steps over which the routed share is averaged: the last so many. */
const window = 25;

/** Charts of SFR+'s records: where crops went, how sure the segmenter was, and how its confidence is spread. */
export function exchangeCharts(arms: readonly RecordedArm[]): CurveGroup[] {
  const recorded = arms.filter(({ samples }) => samples.length > 0);
  if (recorded.length === 0) return [];
  const share = { title: "Crops that teach SAM", xLabel: "step", yLabel: `share, mean of ${window} steps` };
  const routed = { ...share, series: recorded.map(({ name, samples }) => routedShare(name, samples)) };
  const perArm = recorded.flatMap(({ name, samples }) => {
    const suffix = recorded.length > 1 ? `, ${name}` : "";
    const confidence = [
      perStep("all voxels (C)", samples, ({ mean }) => mean),
      perStep("predicted foreground", samples, ({ foreground }) => foreground),
    ];
    return [
      { title: `Confidence of a step's crops${suffix}`, xLabel: "step", yLabel: "mean", series: confidence },
      {
        ...{ title: `Crops by confidence${suffix}`, xLabel: "confidence", yLabel: "share of crops" },
        series: histograms(samples),
      },
    ];
  });
  return [{ title: "SFR+, routes and confidence", charts: [routed, ...perArm] }];
}

/** Mean over the crops of each step; a gap where none has a value. */
function perStep(
  name: string,
  samples: readonly ExchangeSample[],
  value: (sample: ExchangeSample) => number | null,
): ChartSeries {
  const steps = new Map<number, number[]>();
  for (const sample of samples) {
    const found = value(sample);
    steps.set(sample.step, [...(steps.get(sample.step) ?? []), ...(found === null ? [] : [found])]);
  }
  return { name, x: [...steps.keys()], y: [...steps.values()].map(mean) };
}

function routedShare(name: string, samples: readonly ExchangeSample[]): ChartSeries {
  const { x, y } = perStep(name, samples, ({ route }) => (route === "finetune" ? 1 : 0));
  return { name, x, y: y.map((_, i) => mean(y.slice(Math.max(0, i + 1 - window), i + 1))) };
}

/** Shares of the crops by C and by the foreground's confidence, at the middles of bins of equal width. */
function histograms(samples: readonly ExchangeSample[]): ChartSeries[] {
  const all = samples.map(({ mean: confidence }) => confidence);
  const foreground = samples.flatMap((sample) => sample.foreground ?? []);
  const lowest = [...all, ...foreground].reduce((low, value) => Math.min(low, value), 1);
  const width = Math.max(1 - lowest, 1e-6) / bins;
  const histogram = (name: string, values: readonly number[]): ChartSeries => {
    const counts = new Array<number>(bins).fill(0);
    for (const value of values) {
      const bin = Math.min(bins - 1, Math.floor((value - lowest) / width));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    return {
      name,
      x: counts.map((_, bin) => lowest + (bin + 0.5) * width),
      y: counts.map((count) => count / values.length),
    };
  };
  return [histogram("all voxels (C)", all), histogram("predicted foreground", foreground)].filter(({ y }) =>
    y.every(Number.isFinite),
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
