/** Profiles: parts of a run, their lines, tables and the roofline picture. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCases } from "../../bench/bench.js";
import type { BenchCase } from "../../bench/case.js";
import { Profile } from "../../bench/profile.js";
import { type BenchLine, benchLineSchema } from "../../bench/result.js";
import { limitingResource, rooflinePicture } from "../../bench/roofline.js";
import { benchTable, newestLines } from "../../bench/table.js";
import type { Explanation } from "../../src/graph/graph.js";

/** A line as they were before there were profiles. */
const earlier = {
  ...{ bench: "vnet-layers", case: "64x64x32", impl: "sfr", dtype: "f32", device: "cpu" },
  ...{ median_s: 2, min_s: 1, max_s: 3, runs: 5, peak_rss_bytes: 1e9, peak_device_bytes: null },
  ...{ gflop: 200, gflops: 100, share_of_sgemm: 0.5, max_error_vs_peer: null, threads: 2, simd: "v4" },
  ...{ cpu: "x", version: "1", compiler: null, commit: null },
};
const whole = benchLineSchema.parse({ ...earlier, bytes: 20e9, gb_per_s: 10, share_of_bandwidth: 0.4 });
const part = (name: string, more: Partial<BenchLine>): BenchLine =>
  benchLineSchema.parse({ ...whole, case: `${whole.case} ${name}`, nodes: 1, kernel: "direct", ...more });

test("lines from before the profiles can still be read", () => {
  const { bytes, gb_per_s, share_of_bandwidth, nodes, kernel, share_of_run } = benchLineSchema.parse(earlier);
  assert.deepEqual(
    [bytes, gb_per_s, share_of_bandwidth, nodes, kernel, share_of_run],
    new Array(6).fill(null),
  );
});

const node = (op: string, more: Partial<Explanation["nodes"][number]>): Explanation["nodes"][number] => ({
  ...{ op, name: "", kernel: "direct", refused: "", inputs: [], outputs: [], flops: 0, bytes: 8, seconds: 1 },
  ...more,
});
const explanation = (nodes: Explanation["nodes"]): Explanation => ({
  ...{ nodes, arenaBytes: 0, workBytes: 0, outputBytes: 0, persistentBytes: 0, peakBytes: 0, flops: 0 },
  ...{ bytesMoved: 0, device: "cpu" },
});

test("nodes are summed by layer shape and direction, or by op", () => {
  const [x, dy] = ["f32[4, 20, 28, 30, 16]", "f32[4, 20, 28, 30, 32]"];
  const weight = "f32[1, 3, 5, 16, 32]";
  const nodes = (seconds: number) =>
    explanation([
      node("conv3d", { inputs: [x, weight, null], flops: 2e9, seconds }),
      node("conv3d", { inputs: [x, weight, null], flops: 2e9, seconds: 3 * seconds }),
      node("conv3d_backward_input", { inputs: [dy, weight], flops: 2e9, seconds: 0.5, kernel: "winograd" }),
      node("conv3d_backward_weight", { inputs: [x, dy], outputs: [weight], flops: 2e9, seconds: 0.25 }),
      node("linear_backward_weight", { inputs: [x, dy], outputs: ["f32[16, 32]"], flops: 1, seconds: 0.1 }),
      node("relu", { seconds: 0.01 }),
      node("reshape", { kernel: null, bytes: 0, seconds: 0 }),
    ]);
  const profile = (kind: "layers" | "ops") => {
    const made = new Profile(kind);
    for (const seconds of [1, 5, 2]) made.add(nodes(seconds));
    return made.parts();
  };
  const layers = profile("layers");
  assert.deepEqual(
    layers.map(({ name }) => name),
    [
      "5x3x1 16 to 32 at 30x28x20, forward",
      "5x3x1 16 to 32 at 30x28x20, input gradient",
      "5x3x1 16 to 32 at 30x28x20, weight gradient",
      "product 16 to 32 at 30x28x20, weight gradient",
      "relu",
    ],
  );
  const [forward] = layers;
  assert.deepEqual(forward, {
    ...{ name: "5x3x1 16 to 32 at 30x28x20, forward", kernel: "direct", nodes: 2 },
    ...{ median_s: 8, min_s: 4, max_s: 20, gflop: 4, bytes: 16 },
  });
  assert.deepEqual(
    profile("ops").map(({ name, gflop }) => `${name} ${gflop}`),
    [
      "conv3d 4",
      "conv3d_backward_input 2",
      "conv3d_backward_weight 2",
      "linear_backward_weight 1e-9",
      "relu null",
    ],
  );
});

test("a profiled case gives a line for the run and one for each part, which add up to it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sfr-profile-test-"));
  const patch: [number, number, number] = [32, 16, 16];
  const item: BenchCase = {
    name: "small",
    request: {
      ...({ work: "segmenter-train", model: "vnet", method: "supervised" } as const),
      ...{ batch: 1, filters: 2, classes: 2, patch },
    },
    ...{ settings: [], tolerance: 0, peerBytes: 0, profile: "layers" },
  };
  const options = { json: join(folder, "lines.jsonl"), runs: 3, say: () => {} };
  const lines = await runCases("vnet-layers", [item], options);
  await rm(folder, { recursive: true });
  const [run, ...parts] = lines;
  assert.equal(run?.case, "small");
  assert.equal(run.share_of_run, null);
  assert.ok(parts.some((line) => line.case === "small 3x3x3 1 to 2 at 32x16x16, weight gradient"));
  assert.ok(!parts.some((line) => line.case.startsWith("small 3x3x3 1 to 2 at 32x16x16, input")));
  const sum = (of: (line: BenchLine) => number | null) =>
    parts.reduce((total, line) => total + (of(line) ?? 0), 0);
  assert.equal(
    sum(({ bytes }) => bytes),
    run.bytes,
  );
  assert.ok(Math.abs(sum(({ gflop }) => gflop) / (run.gflop ?? 0) - 1) < 1e-9);
  assert.ok(parts.every(({ share_of_run }) => (share_of_run ?? 0) > 0));
});

test("the limiting resource is the one with the larger share, Winograd's by the products it does", () => {
  const limit = (kernel: string, share_of_sgemm: number | null, share_of_bandwidth: number) =>
    limitingResource(part("", { kernel, share_of_sgemm, share_of_bandwidth }));
  assert.equal(limit("direct", 0.8, 0.5), "compute");
  assert.equal(limit("direct", 0.4, 0.5), "memory");
  assert.equal(limit("winograd", 1.6, 0.5), "memory");
  assert.equal(limit("winograd", 2.4, 0.5), "compute");
  assert.equal(limit("direct", null, 0.9), "memory");
  assert.equal(limit("direct", 0.2, 0.3), "neither");
});

test("a table and a picture show the last session only, parts below a thousandth in one row", () => {
  const layer = { share_of_run: 0.5, gflops: 300, gb_per_s: 3, share_of_bandwidth: 0.1 };
  const lines = newestLines([
    whole,
    part("gone", { share_of_run: 1 }),
    whole,
    part("3x3x3 1 to 2 at 4x5x6, forward", { ...layer, kernel: "winograd" }),
    part("relu", { share_of_run: 0.3, gflop: null, gflops: null, share_of_sgemm: null }),
    part("fill", { share_of_run: 0.0004, bytes: 1e6 }),
    part("ema", { share_of_run: 0.0004, bytes: 2e6 }),
  ]);
  const rows = benchTable(lines)
    .split("\n")
    .map((row) => row.replace(/ +/g, " "));
  assert.equal(rows.length, 6);
  assert.match(
    rows[2] ?? "",
    /^\| whole run, 64x64x32 \| \| - \| 2\.00 s \| 100\.0 % \| 100 \| 50 % \| 20\.000 \|/,
  );
  assert.match(rows[4] ?? "", /^\| relu \| direct \| 1 \| 2\.00 s \| 30\.0 % \| - \| - \| .* memory \|$/);
  assert.match(rows[5] ?? "", /^\| all others \| \| 2 \| 4\.00 s \| 0\.1 % \| - \| - \| 0\.003 \|/);

  const picture = rooflinePicture(lines);
  assert.match(picture, /sgemm 200 GFLOP\/s, memory 25\.0 GB\/s/);
  assert.match(picture, />3x3x3 1 to 2, 4x5x6<\/text>/);
  assert.equal(picture.match(/<circle [^>]*><title>/g)?.length, 1);
  assert.throws(() => rooflinePicture([benchLineSchema.parse(earlier)]), /roofline: expected a run/);
});
