import assert from "node:assert/strict";
import { test } from "node:test";
import { reviewHtml } from "../../src/viewer/review.js";

test("the review page says at its head that cases have failed, and at its end why", () => {
  const data = {
    ...{ title: "Labels in out", labels: ["1"], labelNames: {}, volumeUnit: "mm3" },
    cases: [{ id: "p01", confidence: 0.9, foregroundConfidence: null, volumes: { "1": 12 } }],
  };
  const html = reviewHtml({ ...data, failures: [{ id: "p02", error: "expected <more> bytes" }] });
  assert.match(html, /1 labelled cases[^<]*1 failed: see the end/);
  assert.match(html, /<strong>p02<\/strong>: expected &lt;more&gt; bytes/);
  assert.doesNotMatch(reviewHtml({ ...data, failures: [] }), /failed/i);
});
