/** Cubes of MagicNet: cut and put together, by the place they came from or as the released code does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { configSchema } from "../../src/config/schema.js";
import { UsageError } from "../../src/errors.js";
import { Graph } from "../../src/graph/graph.js";
import { Tensor } from "../../src/native/tensor.js";
import { cubeSide, cubes, gridOf, tiled } from "../../src/retrain/methods/cubes.js";
import { magicNet, magicNetReleased } from "../../src/retrain/methods/magicnet.js";

/** Two crops [2, D, H, W, 1] whose voxels are numbered, cut into cubes of 2 voxels and put together again. */
async function there(extents: readonly [number, number, number], swapped: boolean) {
  const shape = [2, ...extents, 1];
  const graph = new Graph();
  const x = graph.input("x", "f32", shape);
  using program = graph.compile({ y: tiled(cubes(x, 2), gridOf(shape, 2), swapped) });
  const count = shape.reduce((a, b) => a * b, 1);
  const numbered = Tensor.from(
    "f32",
    shape,
    Array.from({ length: count }, (_, i) => i),
  );
  return [...(await program.run({ x: numbered })).y.f32];
}

describe("cubes", () => {
  it("go back where they were", async () => {
    const values = await there([2, 4, 6], false);
    assert.deepEqual(
      values,
      values.map((_, i) => i),
    );
  });

  it("(z, y, x) and (x, y, z) change places in the released order", async () => {
    const side = 4;
    const values = await there([side, 2, side], true);
    const at = (n: number, z: number, y: number, x: number) => ((n * side + z) * 2 + y) * side + x;
    for (const n of [0, 1])
      for (let z = 0; z < side; z++)
        for (let x = 0; x < side; x++) {
          // Its cube is that of the other place; within the cube nothing moves.
          const [fromZ, fromX] = [2 * (x >> 1) + (z % 2), 2 * (z >> 1) + (x % 2)];
          assert.equal(values[at(n, z, 1, x)], at(n, fromZ, 1, fromX), `${z}, ${x}`);
        }
  });

  it("have 32 voxels a side where the crop allows it, else 16", () => {
    assert.equal(cubeSide([4, 96, 96, 64, 1]), 32);
    assert.equal(cubeSide([4, 96, 80, 64, 1]), 16);
  });

  it("refuse patches and networks they do not fit", () => {
    const check = (method: typeof magicNet, patch: readonly number[], model: string) =>
      method.checkSettings?.(
        configSchema.parse({
          name: "cubes",
          data: { root: ".", labelled: 1 },
          patch,
          segmenter: { model },
          arms: [{ method: "magicnet" }],
        }),
      );
    check(magicNet, [48, 32, 32], "vnet");
    check(magicNet, [96, 64, 32], "magicnet");
    check(magicNetReleased, [96, 64, 96], "magicnet");
    const refused = (pattern: RegExp) => (error: unknown) =>
      error instanceof UsageError && pattern.test(error.message);
    assert.throws(() => check(magicNet, [48, 32, 32], "unet3d"), refused(/multiples of 32 .* 48 x 32 x 32/));
    assert.throws(() => check(magicNet, [32, 32, 32], "vnet"), refused(/more than one cube of 32 voxels/));
    assert.throws(
      () => check(magicNetReleased, [96, 64, 32], "vnet"),
      refused(/equal extents along x and z/),
    );
  });
});
