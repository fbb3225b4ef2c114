import assert from "node:assert/strict";
import { test } from "node:test";
import { philox4x32, RandomStream, streamId } from "../../src/graph/random.js";

const hex = (words: readonly number[]): string => words.map((w) => w.toString(16).padStart(8, "0")).join(" ");

test("Philox4x32-10 gives Random123's known answers", () => {
  const F = 0xffffffff;
  assert.equal(hex(philox4x32([0, 0, 0, 0], [0, 0])), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  assert.equal(hex(philox4x32([F, F, F, F], [F, F])), "408f276d 41c83b0e a20bc7c6 6d5451fd");
  // Digits of pi, the third vector of Random123's kat_vectors.
  const counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const;
  assert.equal(hex(philox4x32(counter, [0xa4093822, 0x299f31d0])), "d16cfe09 94fdcceb 5001e420 24126ea1");
});

test("stream ids are FNV-1a of the UTF-8 name", () => {
  assert.equal(streamId(""), 0x811c9dc5);
  assert.equal(streamId("a"), 0xe40c292c);
  assert.equal(streamId("foobar"), 0xbf9cf968);
});

test("counter and key hold block, step, stream and seed", () => {
  const seed = 5 * 2 ** 32 + 9;
  const stream = new RandomStream(seed, 3, "x");
  const words = Array.from({ length: 8 }, () => stream.word());
  const id = streamId("x");
  assert.deepEqual(words, [...philox4x32([0, 0, 3, id], [9, 5]), ...philox4x32([1, 0, 3, id], [9, 5])]);
});

test("uniforms and normals are the words' values by the contract", () => {
  const words = philox4x32([0, 0, 0, streamId("n")], [1, 0]);
  const uniform = new RandomStream(1, 0, "n");
  assert.deepEqual(
    words.map(() => uniform.uniform()),
    words.map((word) => (word >>> 8) / 2 ** 24),
  );
  const normal = new RandomStream(1, 0, "n");
  const [a = 0, b = 0] = words;
  const radius = Math.sqrt(-2 * Math.log(((a >>> 8) + 1) / 2 ** 24));
  const angle = (2 * Math.PI * (b >>> 8)) / 2 ** 24;
  assert.equal(normal.normal(), radius * Math.cos(angle));
  assert.equal(normal.normal(), radius * Math.sin(angle));
});

test("no word serves twice when kinds are mixed", () => {
  const reference = new RandomStream(1, 0, "mixed");
  const words = Array.from({ length: 8 }, () => reference.word());
  const stream = new RandomStream(1, 0, "mixed");
  assert.equal(stream.word(), words[0]);
  const normal = stream.normal();
  const first = new RandomStream(1, 0, "mixed");
  first.normal();
  first.normal();
  assert.equal(normal, first.normal(), "the pair (2, 3)");
  assert.equal(stream.word(), words[4]);
  for (let i = 3; i < 6; i++) first.normal();
  assert.equal(stream.normal(), first.normal(), "the pair (6, 7): the sine of (2, 3) is dropped");
});

test("moments of 100000 draws", () => {
  const stream = new RandomStream(2, 0, "moments");
  const n = 100000;
  let [sum, squares, uniforms] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const value = stream.normal();
    sum += value;
    squares += value * value;
  }
  for (let i = 0; i < n; i++) uniforms += stream.uniform();
  // 5 standard errors: 1/sqrt(n), sqrt(2/n), 1/sqrt(12 n).
  assert.ok(Math.abs(sum / n) < 5 / Math.sqrt(n));
  assert.ok(Math.abs(squares / n - 1) < 5 * Math.sqrt(2 / n));
  assert.ok(Math.abs(uniforms / n - 0.5) < 5 / Math.sqrt(12 * n));
});

test("integers cover their range and permutations hold each number once", () => {
  const stream = new RandomStream(3, 1, "integers");
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < 7000; i++) {
    const value = stream.integer(7);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  // 1000 expected each, standard deviation 29: 5 of them.
  assert.ok(
    counts.every((count) => Math.abs(count - 1000) < 147),
    counts.join(" "),
  );
  const order = stream.permutation(50);
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    Array.from({ length: 50 }, (_, i) => i),
  );
  assert.notDeepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );
  assert.deepEqual(stream.permutation(0), []);
});

test("seeds and steps that are no counters are refused", () => {
  for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) {
    assert.throws(() => new RandomStream(seed, 0, "x"), { name: "UsageError", message: /for seed/ });
  }
  assert.throws(() => new RandomStream(0, 2 ** 32, "x"), { name: "UsageError", message: /for step/ });
});
