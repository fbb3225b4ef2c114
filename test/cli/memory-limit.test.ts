/** --memory: what it takes and what it is without. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryLimit } from "../../src/cli/memory-limit.js";
import { UsageError } from "../../src/errors.js";

test("--memory takes decimal and binary sizes", () => {
  assert.equal(memoryLimit("8GB"), 8e9);
  assert.equal(memoryLimit("1.5 GiB"), 1.5 * 2 ** 30);
  assert.equal(memoryLimit("700MB"), 7e8);
});

test("--memory refuses what is no size", () => {
  for (const text of ["8", "GB", "-8GB", "8 gigabytes", "1KB", "10MB", ""])
    assert.throws(() => memoryLimit(text), UsageError, text);
});

test("without --memory 2 GB of what is available are left to others", () => {
  const limit = memoryLimit(undefined);
  assert.ok(limit <= Math.max(0.5e9, process.availableMemory() - 1.9e9), `received ${limit}`);
});
