import type { RunEvent } from "../io/event-log.js";
import type { ChartSeries, ChartSpec } from "./svg-chart.js";

/** Charts of one stage. */
export interface CurveGroup {
  readonly title: string;
  readonly charts: readonly ChartSpec[];
}

/** A loss that falls by more than this factor is drawn on a logarithmic axis. */
const logFrom = 30;

/**
 * Makes the charts of a report from the lines of `events.jsonl`: per stage the total loss and the learning rate with
 * one curve per arm, and per arm the parts of the loss. Stages without a loss get none.
 *
 * @param stageNames shown titles by stage; default: the stage's own name
 */
export function curvesFromEvents(
  events: readonly RunEvent[],
  stageNames: Readonly<Record<string, string>> = {},
): CurveGroup[] {
  const stages = [...new Set(events.filter((event) => event.loss !== undefined).map((event) => event.stage))];
  return stages.map((stage) => {
    const title = stageNames[stage] ?? stage;
    const arms = new Map<string, RunEvent[]>();
    for (const event of events.filter((event) => event.stage === stage && event.loss !== undefined)) {
      const arm = event.arm ?? title;
      const list = arms.get(arm) ?? [];
      list.push(event);
      arms.set(arm, list);
    }
    const perArm = (value: (event: RunEvent) => number | null | undefined) =>
      [...arms].map(([name, list]) => series(name, list, value)).filter(hasValues);
    const charts = [
      chart(
        "Total loss",
        "loss",
        perArm(({ loss }) => loss),
      ),
      chart("Learning rate", "learning rate", mergeEqual(perArm(({ lr }) => lr))),
      ...[...arms].map(([name, list]) => {
        const terms = [...new Set(list.flatMap((event) => Object.keys(event.terms ?? {})))];
        const curves = terms.map((term) => series(term, list, (event) => event.terms?.[term]));
        return chart(
          arms.size > 1 ? `Parts of the loss, ${name}` : "Parts of the loss",
          "loss",
          curves.filter(hasValues),
        );
      }),
    ];
    return { title, charts: charts.filter((item) => item.series.length > 0) };
  });
}

function series(
  name: string,
  events: readonly RunEvent[],
  value: (event: RunEvent) => number | null | undefined,
): ChartSeries {
  return { name, x: events.map((event) => event.step), y: events.map((event) => value(event) ?? Number.NaN) };
}

/** Curves that are all alike would hide one another: one of them stands for all. */
function mergeEqual(curves: readonly ChartSeries[]): ChartSeries[] {
  const [first, ...others] = curves;
  const text = (curve: ChartSeries) => JSON.stringify([curve.x, curve.y]);
  const isOne =
    first !== undefined && others.length > 0 && others.every((curve) => text(curve) === text(first));
  return isOne ? [{ ...first, name: "all arms" }] : [...curves];
}

function hasValues(curve: ChartSeries): boolean {
  return curve.y.some(Number.isFinite);
}

function chart(title: string, yLabel: string, curves: readonly ChartSeries[]): ChartSpec {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const y of curves.flatMap((curve) => curve.y).filter(Number.isFinite)) {
    [low, high] = [Math.min(low, y), Math.max(high, y)];
  }
  return { title, xLabel: "step", yLabel, series: curves, log: low > 0 && high > logFrom * low };
}
