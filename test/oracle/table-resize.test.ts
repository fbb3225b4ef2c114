/** SAM's position tables on another canvas against PyTorch's bilinear interpolation. */
import { test } from "node:test";
import { plainSpec, WeightSet } from "../../src/graph/weights.js";
import type { HostTensor } from "../../src/io/host-tensor.js";
import { tensorsInMemory } from "../../src/io/tensor-file.js";
import { loadSamCheckpoint } from "../../src/models/sam/checkpoint.js";
import { samConfig, samPatch } from "../../src/models/sam/config.js";
import { Golden } from "./golden.js";
import { normal } from "./inputs.js";

const channels = 8;
const [position, relative] = ["image_encoder.pos_embed", "image_encoder.blocks.1.attn.rel_pos_w"] as const;

for (const grid of [16, 32, 96])
  test(`tables of a 64 x 64 grid on ${grid} x ${grid} tokens`, async () => {
    const golden = await Golden.read("table-resize");
    const weights = new WeightSet("sam", 0);
    const zeros = { kind: "constant", value: 0 } as const;
    const positionTable = weights.tensor(position, plainSpec([1, grid, grid, channels], zeros));
    const relativeTable = weights.tensor(relative, plainSpec([2 * grid - 1, channels], zeros));
    const tensor = (name: string, shape: readonly number[]): HostTensor => ({
      dtype: "f32",
      shape,
      data: normal(name, shape),
    });
    const checkpoint = new Map([
      [position, tensor("position", [1, 64, 64, channels])],
      [relative, tensor("relative", [127, channels])],
    ]);
    await loadSamCheckpoint(weights, tensorsInMemory(checkpoint), samConfig("tiny", grid * samPatch, 2));
    // PyTorch computes the source position in f32, where it is off by up to 127 * 6e-8 of the distance between two rows.
    golden.check(`position_${grid}`, positionTable.f32, 1e-5);
    golden.check(`relative_${grid}`, relativeTable.f32, 1e-5);
    weights.dispose();
  });
