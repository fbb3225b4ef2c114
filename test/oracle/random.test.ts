/** Normals, noise and dropout masks of the engine and of TypeScript against Python's Philox streams. */
import { test } from "node:test";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { RandomStream } from "../../src/graph/random.js";
import { Tensor } from "../../src/native/tensor.js";
import { Golden } from "./golden.js";

const count = 300001;
const step = 7;
/** Above 2^32: both words of the key count. */
const largeSeed = 5 * 2 ** 32 + 9;
const rng = (seed: number) => Tensor.from("i32", [3], [seed | 0, Math.floor(seed / 2 ** 32), step]);

test("normals and clipped noise", async () => {
  const golden = await Golden.read("random");
  const graph = new Graph();
  const [one, large] = [graph.input("one", "i32", [3]), graph.input("large", "i32", [3])];
  using program = graph.compile({
    normals: ops.gaussianNoise(one, [count], 1, 0, "student/noise"),
    clipped: ops.gaussianNoise(large, [count], 0.1, 0.2, "student/noise"),
  });
  const { normals, clipped } = await program.run({ one: rng(1), large: rng(largeSeed) });
  // The engine's normals are within 2e-6 of the values in double (cpp/ops/noise/noise.h).
  golden.check("normals", normals.f32, 2e-6);
  golden.check("clipped", clipped.f32, 2e-6);
  const stream = new RandomStream(1, step, "student/noise");
  // In double; the golden keeps f32.
  golden.check(
    "normals",
    Float64Array.from({ length: count }, () => stream.normal()),
    1e-7,
  );
});

test("dropout masks, by element and by channel", async () => {
  const golden = await Golden.read("random");
  const graph = new Graph();
  const random = graph.input("rng", "i32", [3]);
  const [elements, channels] = [
    graph.input("elements", "f32", [3, 20011]),
    graph.input("channels", "f32", [3, 2, 2, 2, 13]),
  ];
  using program = graph.compile({
    dropout: ops.dropout(elements, random, 0.3, false, "student/dropout"),
    channels: ops.dropout(channels, random, 0.5, true, "student/dropout"),
  });
  const ones = (shape: readonly number[]) =>
    Tensor.from("f32", shape, new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(1));
  const out = await program.run({
    rng: rng(1),
    elements: ones(elements.shape),
    channels: ones(channels.shape),
  });
  // 1 / (1 - rate) is rounded to f32; one element kept or dropped wrongly is off by 4e-3.
  golden.check("dropout", out.dropout.f32, 1e-6);
  // [3, 2, 2, 2, 13] at one place: the whole channel has the same fate.
  for (let place = 0; place < 8; place++)
    golden.check(
      "channels",
      Float32Array.from(
        { length: 39 },
        (_, i) => out.channels.f32[(Math.floor(i / 13) * 8 + place) * 13 + (i % 13)] ?? 2,
      ),
      1e-6,
    );
});
