import assert from "node:assert/strict";
import { test } from "node:test";
import { confidenceBins } from "../../src/exchange/confidence.js";
import { exchangeCharts } from "../../src/exchange/exchange-charts.js";
import type { ExchangeSample } from "../../src/exchange/record.js";

/** Steps of two crops: one teaches SAM in every second step, the other never, and has no foreground. */
const samples = Array.from({ length: 8 }, (_, i): ExchangeSample => {
  const [step, sample] = [(i >> 1) + 1, i % 2];
  return {
    ...{ step, sample, caseId: "a", mean: 0.9 + i / 100, foreground: sample === 0 ? 0.5 : null, loss: 1 },
    route: sample === 0 && step % 2 === 0 ? "finetune" : "retrain",
    histogram: confidenceBins.map(() => 0),
  };
});

test("charts of an exchange: routed share, confidence and its histogram", () => {
  const [group] = exchangeCharts([{ name: "SFR+", samples }]);
  const [share, confidence, histogram] = group?.charts ?? [];
  assert.deepEqual(share?.series[0]?.x, [1, 2, 3, 4]);
  // A mean over the steps so far, and then over the last 25.
  assert.deepEqual(share?.series[0]?.y, [0, 0.25, 0.5 / 3, 0.25]);
  const means = confidence?.series.map(({ y }) => y.map((value) => Number(value.toFixed(3))));
  assert.deepEqual(means, [
    [0.905, 0.925, 0.945, 0.965],
    [0.5, 0.5, 0.5, 0.5],
  ]);
  for (const { y } of histogram?.series ?? [])
    assert.ok(Math.abs(y.reduce((a, b) => a + b, 0) - 1) < 1e-12, "shares of all crops");
  assert.equal(histogram?.series.length, 2);
});

test("no charts without a record, and names of the arms where there are several", () => {
  assert.deepEqual(exchangeCharts([{ name: "SFR+", samples: [] }]), []);
  const withoutForeground = samples.map((sample) => ({ ...sample, foreground: null }));
  const arms = ["one", "two"].map((name) => ({ name, samples: withoutForeground }));
  const [group] = exchangeCharts(arms);
  assert.equal(group?.charts[0]?.series.length, 2);
  assert.deepEqual(
    group?.charts.slice(1).map(({ title }) => title.split(", ").at(-1)),
    ["one", "one", "two", "two"],
  );
});
