import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { runBench, runCases } from "../../bench/bench.js";
import type { BenchCase } from "../../bench/case.js";
import { benchCases, benchNames } from "../../bench/cases.js";
import { checkAgainstPeer, sampled, sampleIndices } from "../../bench/check.js";
import { type BenchRequest, peerRequest, type RequestOf } from "../../bench/requests.js";
import { type BenchLine, benchLineSchema } from "../../bench/result.js";
import { benchTable } from "../../bench/table.js";
import { startWorkload } from "../../bench/workloads.js";
import { gapClass } from "../../src/data/label-table.js";
import { UsageError } from "../../src/errors.js";
import type { HostTensor } from "../../src/io/host-tensor.js";
import { writeSafetensors } from "../../src/io/safetensors.js";
import { engineInfo } from "../../src/native/native.js";
import { stitchGeometry } from "../../src/stitch/geometry.js";
import { permute, volumeOrder } from "../oracle/axes.js";

const fields =
  "bench case impl dtype device median_s min_s max_s runs peak_rss_bytes peak_device_bytes gflop gflops " +
  "share_of_sgemm max_error_vs_peer threads simd cpu version compiler commit bytes gb_per_s share_of_bandwidth " +
  "nodes kernel share_of_run";

const patch = [5, 4, 3] as const;
const canvas = 16;
const item: BenchCase = {
  name: "small",
  request: { work: "stitch", patch: [...patch], canvas, volumes: 2, direction: "stitch" },
  settings: ["default"],
  tolerance: 0,
  peerBytes: 1,
};
const peerLine = {
  impl: "pytorch",
  median_s: 2,
  min_s: 1,
  max_s: 3,
  runs: 5,
  peak_rss_bytes: 1e6,
  result: [1],
};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sfr-bench-test-"));
});

/** The canvases of the first volume of `item`, voxel by voxel. */
function stitchedByHand(): Map<string, HostTensor> {
  const g = stitchGeometry({ patch, canvas });
  const image = new Float32Array(canvas * canvas);
  const label = new Uint8Array(canvas * canvas).fill(gapClass);
  for (let x = 0; x < patch[0]; x++)
    for (let y = 0; y < patch[1]; y++)
      for (let z = 0; z < patch[2]; z++) {
        const tile = z + g.frontSlices;
        const row = g.originY + Math.floor(tile / g.cols) * g.tileHeight + y;
        const column = g.originX + (tile % g.cols) * g.tileWidth + x;
        const index = (x * patch[1] + y) * patch[2] + z;
        image[row * canvas + column] = index + 1;
        label[row * canvas + column] = index;
      }
  return new Map<string, HostTensor>([
    ["image", { dtype: "f32", shape: [canvas, canvas], data: image }],
    ["label", { dtype: "u8", shape: [canvas, canvas], data: label }],
  ]);
}

/** A program that stands in for Python: gives `check` as its result, or fails when there is none or `needs` is not true. */
async function standIn(name: string, check?: Map<string, HostTensor>, needs = "true"): Promise<string> {
  const [path, result] = [join(folder, name), join(folder, `${name}.safetensors`)];
  if (check !== undefined) await writeSafetensors(result, check);
  const script = `#!${process.execPath}
const { copyFileSync } = require("node:fs");
const at = (flag) => process.argv[process.argv.indexOf(flag) + 1];
if (!(${needs})) process.exit(1);
if (process.argv[2] === "-c") console.log(JSON.stringify({ torch: "2.13.0" }));
else {
  copyFileSync(${JSON.stringify(result)}, at("--check"));
  console.log(${JSON.stringify(JSON.stringify(peerLine))});
}
`;
  await writeFile(path, script);
  await chmod(path, 0o755);
  return path;
}

async function linesOf(path: string): Promise<unknown[]> {
  return (await readFile(path, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

test("a result that equals the peer's gives a line for each implementation", async () => {
  const json = join(folder, "equal", "stitch.jsonl");
  const python = await standIn("equal-python", stitchedByHand());
  const said: string[] = [];
  await runCases("stitch", [item], { json, python, runs: 2, say: (line) => said.push(line) });
  const lines = await linesOf(json);
  for (const line of lines) {
    benchLineSchema.parse(line);
    assert.deepEqual(Object.keys(line as object), fields.split(" "));
  }
  const [ours, peer, ...rest] = lines.map((line) => benchLineSchema.parse(line));
  assert.deepEqual(rest, []);
  assert.equal(ours?.impl, "sfr");
  assert.equal(ours?.max_error_vs_peer, 0);
  assert.equal(ours?.runs, 2);
  assert.equal(ours?.gflop, null);
  // Images in f32 and labels in u8, read and written once.
  const read = 2 * patch[0] * patch[1] * patch[2];
  assert.equal(ours?.bytes, 5 * (read + 2 * canvas * canvas));
  assert.ok((ours?.share_of_bandwidth ?? 0) > 0);
  assert.ok(ours && ours.min_s <= ours.median_s && ours.median_s <= ours.max_s);
  assert.equal(peer?.impl, "pytorch");
  assert.equal(peer?.version, "2.13.0");
  assert.equal(peer?.median_s, 2);
  // A second session appends.
  await runCases("stitch", [item], { json, python, runs: 1, say: () => {} });
  assert.equal((await linesOf(json)).length, 4);
});

test("a fault in our result is caught before anything is written", async () => {
  const other = stitchedByHand();
  const image = other.get("image")?.data;
  assert.ok(image instanceof Float32Array);
  const voxel = image.indexOf(7);
  image[voxel] = 8;
  const json = join(folder, "faulty.jsonl");
  const python = await standIn("faulty-python", other);
  await assert.rejects(
    runCases("stitch", [item], { json, python, runs: 1, say: () => {} }),
    /bench stitch: expected an error of at most 0 against the peer for image, received 0\.\d+/,
  );
  assert.ok(!existsSync(json));
});

const hasV3 = ["v3", "v4", "v4-bf16"].includes(engineInfo().bestSimd);
test("a case may hold both sides to a SIMD level", { skip: !hasV3 && "not on this processor" }, async () => {
  const json = join(folder, "level.jsonl");
  const level = 'process.argv[2] === "-c" || process.env.ATEN_CPU_CAPABILITY === "avx2"';
  const python = await standIn("level-python", stitchedByHand(), level);
  await runCases("stitch", [{ ...item, simd: "v3" }], { json, python, runs: 1, say: () => {} });
  const lines = (await linesOf(json)).map((line) => benchLineSchema.parse(line));
  assert.deepEqual(
    lines.map(({ impl, simd }) => [impl, simd]),
    [
      ["sfr", "v3"],
      ["pytorch", "v3"],
    ],
  );
});

test("a peer that fails is named, and our side runs alone", async () => {
  const json = join(folder, "alone.jsonl");
  const said: string[] = [];
  const python = await standIn("failing-python");
  await runCases("stitch", [item], { json, python, runs: 1, say: (line) => said.push(line) });
  assert.ok(said.some((line) => /stitch small: peer default did not run: .*received exit 1/.test(line)));
  const [ours, ...rest] = (await linesOf(json)).map((line) => benchLineSchema.parse(line));
  assert.deepEqual(rest, []);
  assert.equal(ours?.impl, "sfr");
  assert.equal(ours?.max_error_vs_peer, null);
});

test("where peers do not fit the memory, the smaller case is timed too and the bench says so", async () => {
  const json = join(folder, "memory.jsonl");
  const said: string[] = [];
  const large: BenchCase = { ...item, name: "large", peerBytes: 1e18, smaller: "small" };
  const python = await standIn("memory-python", stitchedByHand());
  const options = { json, python, runs: 1, say: (line: string) => said.push(line) };
  await runCases("stitch", [large], options, [item, large]);
  assert.ok(said.some((line) => /stitch large: peers need about .* timed on small instead/.test(line)));
  const found = (await linesOf(json)).map((line) => benchLineSchema.parse(line));
  assert.deepEqual(
    found.map(({ case: name, impl }) => `${name} ${impl}`),
    ["large sfr", "small sfr", "small pytorch"],
  );
});

test("a setting that does not fit the memory is left out, and the bench says so", async () => {
  const json = join(folder, "setting.jsonl");
  const said: string[] = [];
  const settings = ["default", "onnxruntime"];
  const heavy: BenchCase = { ...item, settings, settingBytes: { onnxruntime: 1e18 }, smaller: "tiny" };
  const python = await standIn("setting-python", stitchedByHand());
  await runCases("stitch", [heavy], { json, python, runs: 1, say: (line) => said.push(line) });
  assert.ok(said.some((line) => /small: peer onnxruntime needs about .* timed on tiny instead/.test(line)));
  const found = (await linesOf(json)).map((line) => benchLineSchema.parse(line));
  assert.deepEqual(
    found.map(({ impl }) => impl),
    ["sfr", "pytorch"],
  );
});

test("un-stitching gives the volume that was stitched", async () => {
  const request = {
    work: "stitch",
    patch: [...patch],
    canvas,
    volumes: 2,
    direction: "unstitch",
  } satisfies BenchRequest;
  const { values } = await startWorkload(request);
  const running = Array.from({ length: patch[0] * patch[1] * patch[2] }, (_, i) => i);
  assert.deepEqual(Array.from(values.get("label") ?? []), running);
  assert.deepEqual(
    Array.from(values.get("image") ?? []),
    running.map((index) => index + 1),
  );
});

test("missing, short and NaN results are caught", () => {
  const data = Float32Array.from([1, 2, 2]);
  const peer = new Map<string, HostTensor>([["y", { dtype: "f32", shape: [3], data }]]);
  const check = (ours: [string, number[]][]) => checkAgainstPeer("bench x", new Map(ours), peer, 0.5);
  // Root mean square of (1, 2, 2) is sqrt 3.
  assert.ok(Math.abs(check([["y", [1, 2, 2.5]]]) - 0.5 / Math.sqrt(3)) < 1e-12);
  assert.throws(() => check([["y", [1, 2, 3]]]), /for y, received 0\.57/);
  assert.throws(() => check([["y", [1, Number.NaN, 2]]]), /received Infinity/);
  assert.throws(() => check([["y", [1, 2]]]), /received Infinity/);
  assert.throws(() => check([]), /received Infinity/);
});

test("entries are sampled in PyTorch's axis order", () => {
  const shape = [2, 3, 4, 5, 6];
  const torch = Float32Array.from({ length: 720 }, (_, i) => i);
  assert.deepEqual(sampled(permute(torch, shape, volumeOrder), shape, volumeOrder), [...torch]);
  // Python: [(j * 2654435761 + 97) % 10007 for j in (0, 1, 4095)]
  const indices = sampleIndices(10007);
  assert.deepEqual([indices.length, indices[0], indices[1], indices[4095]], [4096, 97, 9059, 3818]);
});

test("every case builds, runs and gives finite values at a small size", async () => {
  const network = { model: "vnet", filters: 2, classes: 2 } as const;
  const sam = { model: "tiny", canvas: 64, classes: 2, batch: 1, rank: 2 } as const;
  const cohort: Omit<RequestOf<"batch">, "work"> = {
    ...{ model: "tiny", canvas: 64, classes: 2 },
    ...{ volumes: 2, patch: [16, 16, 16], volume: [16, 20, 16] },
  };
  const requests: BenchRequest[] = [
    { work: "gemm", size: 32 },
    { work: "bandwidth", elements: 1000 },
    { work: "segmenter-train", method: "supervised", batch: 2, ...network, patch: [16, 16, 16] },
    { work: "segmenter-train", method: "mean-teacher", batch: 2, ...network, patch: [16, 16, 16] },
    { work: "segmenter-infer", batch: 2, ...network, patch: [16, 16, 16] },
    {
      work: "segmenter-train",
      method: "mean-teacher",
      batch: 2,
      ...network,
      model: "unet3d",
      patch: [32, 16, 16],
    },
    { work: "segmenter-infer", batch: 2, ...network, model: "unet3d", patch: [16, 32, 16] },
    { work: "segmenter-volume", ...network, volume: [20, 16, 24], stride: [4, 4, 8], patch: [16, 16, 16] },
    { work: "sam-train", ...sam },
    { work: "sam-infer", ...sam },
    { work: "batch", ...cohort },
    { work: "batch", ...cohort, engine: "c" },
    { work: "bezier", patch: [6, 5, 2] },
    { work: "metrics", shape: [40, 40, 40], spacing: null },
  ];
  for (const request of requests) {
    const workload = await startWorkload(request);
    await workload.run(1);
    for (const [name, values] of workload.values)
      assert.ok(Array.from(values).every(Number.isFinite), `${request.work} ${name}`);
    const { flops = 0, bytesMoved = 0 } = workload.explain?.() ?? {};
    assert.equal(
      flops > 0,
      !["metrics", "bezier", "bandwidth", "batch"].includes(request.work),
      request.work,
    );
    assert.equal(bytesMoved > 0, !["metrics", "batch"].includes(request.work), request.work);
  }
});

test("every bench has cases that peers can take", () => {
  for (const name of benchNames)
    for (const { request, settings, profile } of benchCases(name)) {
      const script = join("bench", "peers", `${request.work.replaceAll("-", "_")}.py`);
      // A profile has no peer.
      assert.ok(profile !== undefined || existsSync(script), `${name}: ${script}`);
      const hasPeer =
        profile === undefined &&
        !["engines", "workers"].includes(name) &&
        !/vit_[lh]/.test(JSON.stringify(request));
      assert.equal(settings.length > 0, hasPeer, name);
      assert.ok(!("work" in peerRequest(request)));
    }
  assert.throws(() => benchCases("vnet"), UsageError);
  assert.throws(() => benchCases("stitch", "huge"), /expected one of .* for --case, received 'huge'/);
});

test("an unknown bench is refused", async () => {
  await assert.rejects(runBench("vnet-trian"), /expected one of vnet-train, .*, received 'vnet-trian'/);
});

test("the table gives ratios to the fastest peer of the case", () => {
  const line = (impl: string, median_s: number): BenchLine =>
    benchLineSchema.parse({
      ...{
        bench: "b",
        case: "c",
        impl,
        dtype: "f32",
        device: "cpu",
        median_s,
        min_s: median_s,
        max_s: median_s,
      },
      ...{ runs: 5, peak_rss_bytes: 1e9, peak_device_bytes: null, gflop: 100, gflops: 100 / median_s },
      ...{ share_of_sgemm: 0.5, max_error_vs_peer: impl === "sfr" ? 1e-5 : null, threads: 2, simd: "v4" },
      ...{ cpu: "x", version: "1", compiler: null, commit: null },
    });
  const table = benchTable([line("sfr", 3), line("pytorch", 4), line("pytorch-compiled", 2)]);
  const [, , ours, slow, fast] = table.split("\n").map((text) => text.replace(/ +/g, " "));
  assert.match(ours ?? "", /\| sfr \| 3\.00 s \| .* \| 33 \| 50 % \| 1\.00 GB \| 1\.50x \| 1e-5 \|/);
  assert.match(slow ?? "", /pytorch .* 2\.00x/);
  assert.match(fast ?? "", /pytorch-compiled .* 1\.00x/);
});
