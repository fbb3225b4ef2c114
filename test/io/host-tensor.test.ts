import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16Bits, toFloat32 } from "../../src/io/host-tensor.js";

test("bf16Bits rounds to the nearest, ties to even, and keeps NaN and infinity", () => {
  const nan = new Float32Array(new Uint32Array([0x7fffffff]).buffer)[0] ?? Number.NaN;
  // 1 + 2^-8 and 1 + 3 * 2^-8 lie in the middle of two; the next ones are one fraction bit beside the first.
  const values = [
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    1 + 2 ** -8 + 2 ** -23,
    1 + 2 ** -8 - 2 ** -23,
    -1.9999999,
    0,
  ];
  const expected = [1, 1 + 2 ** -6, 1 + 2 ** -7, 1, -2, 0];
  const all = Float32Array.from([9, ...values, Number.NEGATIVE_INFINITY, nan]).subarray(1);
  const rounded = toFloat32({ dtype: "bf16", shape: [all.length], data: bf16Bits(all) });
  assert.deepEqual([...rounded], [...expected, Number.NEGATIVE_INFINITY, Number.NaN]);
});
