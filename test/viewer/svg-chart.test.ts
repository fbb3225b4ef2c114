import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { curvesFromEvents } from "../../src/viewer/curves.js";
import { chartFigure, lineChart } from "../../src/viewer/svg-chart.js";

const base = { title: "Loss", xLabel: "step", yLabel: "loss" };
const ticks = (svg: string) => [...svg.matchAll(/class="tick">([^<]*)</g)].map((match) => match[1]);
const curves = (svg: string) =>
  [...svg.matchAll(/d="M([^"]*)"[^>]*class="curve"/g)].map((match) => match[1] ?? "");
/** Points of a curve in user units: the plot spans x 70..468 and y 202..8. */
const points = (path: string) => path.split("L").map((point) => point.split(" ").map(Number));

describe("lineChart", () => {
  it("places values linearly between round ticks that enclose them", () => {
    const svg = lineChart({ ...base, series: [{ name: "a", x: [0, 50, 100], y: [0, 0.5, 0.93] }] });
    assert.deepEqual(ticks(svg), ["0", "0.2", "0.4", "0.6", "0.8", "1", "0", "20", "40", "60", "80", "100"]);
    assert.deepEqual(points(curves(svg)[0] ?? ""), [
      [70, 202],
      [269, 105],
      [468, 21.6], // 202 - 0.93 * 194
    ]);
  });

  it("places values by their logarithm and leaves a gap at what has none", () => {
    const y = [1, 0.1, 0, 0.01, Number.NaN, 1e-4];
    const svg = lineChart({ ...base, log: true, series: [{ name: "a", x: [1, 2, 3, 4, 5, 6], y }] });
    assert.deepEqual(ticks(svg).slice(0, 5), ["1e−4", "0.001", "0.01", "0.1", "1"]);
    assert.match(svg, />loss \(log\)</);
    const paths = curves(svg);
    assert.equal(paths.length, 3);
    assert.deepEqual(
      points(paths[0] ?? "").map((point) => point[1]),
      [8, 56.5],
    );
    assert.deepEqual(points(paths[1]?.replace("h0", "") ?? "")[0]?.[1], 105);
    assert.match(paths[2] ?? "", /^468 202h0$/);
  });

  it("gathers long curves to a few hundred points with a band, keeping the extremes", () => {
    const x = Array.from({ length: 30000 }, (_, i) => i + 1);
    const y = x.map((step) => (step === 12345 ? 9 : 1 + (step % 2)));
    const svg = lineChart({ ...base, series: [{ name: "a", x, y }] });
    const [path = ""] = curves(svg);
    assert.ok(points(path).length <= 240 && points(path).length > 200);
    const band = svg.match(/d="M([^"]*)Z"[^>]*class="band"/)?.[1] ?? "";
    const highest = Math.min(...points(band).map((point) => point[1] ?? 0));
    // Axis 0 to 10: the value 9 lies at 202 - 0.9 * 194.
    assert.equal(highest, 27.4);
    assert.ok(svg.length < 20000, "a chart of any length stays small");
  });

  it("survives curves without values, of one point, of equal values", () => {
    for (const y of [[], [Number.NaN], [5], [5, 5, 5], [-3, -3], [0, 0], [1e-30, 1e30]]) {
      for (const log of [false, true]) {
        const svg = lineChart({ ...base, log, series: [{ name: "a", x: y.map((_, i) => i), y }] });
        assert.doesNotMatch(svg, /NaN|Infinity|undefined/, JSON.stringify([y, log]));
        const hasPoint = y.some((value) => Number.isFinite(value) && (!log || value > 0));
        assert.equal(curves(svg).length > 0, hasPoint, JSON.stringify([y, log]));
        assert.ok(ticks(svg).length < 40);
      }
    }
    assert.match(lineChart({ ...base, series: [] }), /no values/);
  });

  it("escapes every text", () => {
    const evil = `<i>"&'`;
    const figure = chartFigure({
      ...{ title: evil, xLabel: evil, yLabel: evil },
      series: [{ name: evil, x: [1], y: [1] }],
    });
    assert.doesNotMatch(figure, /<i>/);
    assert.equal(figure.match(/&lt;i&gt;&quot;&amp;&#39;/g)?.length, 6);
  });
});

describe("curvesFromEvents", () => {
  it("makes charts per stage and arm", () => {
    const lines = ["a", "b"].flatMap((arm, k) =>
      [1, 2, 3].map((step) => {
        const shared = { stage: "retrain", arm, step, total: 3, lr: 0.1 / step };
        return { ...shared, loss: 100 / 10 ** (step + k), terms: { dice: step, ...(k ? { mse: 0.5 } : {}) } };
      }),
    );
    const groups = curvesFromEvents([...lines, { stage: "predict", case: "c", step: 1, total: 1 }], {
      retrain: "Re-training",
    });
    assert.deepEqual(
      groups.map((group) => group.title),
      ["Re-training"],
    );
    const charts = groups[0]?.charts ?? [];
    assert.deepEqual(
      charts.map((chart) => [chart.title, chart.log, chart.series.map((series) => series.name)]),
      [
        ["Total loss", true, ["a", "b"]],
        ["Learning rate", false, ["all arms"]],
        ["Parts of the loss, a", false, ["dice"]],
        ["Parts of the loss, b", false, ["dice", "mse"]],
      ],
    );
    assert.deepEqual(charts[0]?.series[1], { name: "b", x: [1, 2, 3], y: [1, 0.1, 0.01] });
  });
});
