import assert from "node:assert/strict";
import { test } from "node:test";
import { routeOf } from "../../src/exchange/route.js";

function route(mean: number, foreground: number | null, confidence: "all" | "foreground", threshold: number) {
  return routeOf({ mean, foreground, histogram: [] }, { confidence, threshold });
}

test("a crop of at least the threshold teaches SAM, another one is taught by it", () => {
  assert.equal(route(0.985, 0.6, "all", 0.985), "finetune");
  assert.equal(route(0.9849999, 1, "all", 0.985), "retrain");
});

test("the confidence of the foreground can decide instead", () => {
  assert.equal(route(0.99, 0.9, "foreground", 0.985), "retrain");
  assert.equal(route(0.9, 0.99, "foreground", 0.985), "finetune");
});

test("a threshold of 0 lets every crop teach SAM, one of 1 only a crop without any doubt", () => {
  for (const mean of [0.34, 1]) assert.equal(route(mean, null, "all", 0), "finetune");
  assert.equal(route(1, 1, "all", 1), "finetune");
  assert.equal(route(1 - 2 ** -24, 1, "all", 1), "retrain");
});

test("a crop without foreground is never sure of its foreground", () => {
  for (const threshold of [0, 0.5, 1]) assert.equal(route(1, null, "foreground", threshold), "retrain");
});

test("a confidence that is no number is not sure", () => {
  assert.equal(route(Number.NaN, null, "all", 0), "retrain");
});
