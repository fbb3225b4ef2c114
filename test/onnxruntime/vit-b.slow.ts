import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTinyModel } from "../batch/tiny-model.js";
import { logitDifference } from "./logit-difference.js";
import { ways, withoutRuntime } from "./sessions.js";

const scratch = mkdtempSync(join(tmpdir(), "sfr-vit-b-"));
after(() => rmSync(scratch, { recursive: true }));

describe("logits of ViT-B on a canvas of 1024 x 1024", { skip: withoutRuntime }, () => {
  let path = "";
  before(async () => {
    path = await makeTinyModel(scratch, "--sam-size", "vit_b", "--sam-canvas", "1024");
  });

  for (const way of ways)
    it(`agree with ONNX Runtime's, through ${way === "c" ? "its C interface" : "onnxruntime-node"}`, async (t) => {
      const difference = await logitDifference(path, way, 1);
      t.diagnostic(`largest difference ${difference.toExponential(1)} of the largest logit`);
      // Rounding after twelve blocks is some 1e-5; a wrong weight or axis shows at 1e-1.
      assert(difference < 1e-4, String(difference));
    });
});
