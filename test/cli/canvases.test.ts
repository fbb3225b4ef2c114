import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { generatePhantom } from "../../src/data/phantom.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { decodePng, encodePng } from "../../src/io/png.js";
import { sfr } from "./sfr.js";

describe("sfr stitch and unstitch", () => {
  let root = "";
  let image = "";
  let label = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-canvas-"));
    const phantom = generatePhantom(3, 1, [30, 25, 24]);
    image = join(root, "a.nii.gz");
    label = join(root, "a_label.nii.gz");
    await writeImage(image, phantom.image);
    await writeLabels(label, phantom.label, phantom.image);
  });
  after(() => rm(root, { recursive: true }));

  it("gives a label file back with the same bytes, over several canvases", async () => {
    const out = join(root, "labels");
    const stitched = await sfr("stitch", label, "--labels", "--canvas", "100", "--out", out, "--json");
    assert.equal(stitched.code, 0, stitched.stderr);
    const { records, pictures } = JSON.parse(stitched.stdout) as { records: string[]; pictures: string[] };
    // 100 px hold 3 x 4 slices of 30 x 25: 24 slices need two canvases.
    assert.equal(pictures.length, 2);
    const back = join(root, "back.nii.gz");
    const unstitched = await sfr("unstitch", records[0] ?? "", "--out", back);
    assert.equal(unstitched.code, 0, unstitched.stderr);
    assert.deepEqual(await readFile(back), await readFile(label));
  });

  it("draws an image with its slices in gray, and takes labels drawn on it", async () => {
    const out = join(root, "image");
    const { code, stderr } = await sfr("stitch", image, "--canvas", "160", "--out", out);
    assert.equal(code, 0, stderr);
    const path = join(out, "a_canvas_000.png");
    const { pixels, width } = decodePng(await readFile(path));
    assert.equal(width, 160);
    assert.ok(new Set(pixels).size > 50, "gray values");
    // The canvas holds 6 rows of 5 tiles; a drawing of label 7 over everything covers every voxel.
    await writeFile(path, encodePng(new Uint8Array(160 * 160).fill(7), 160, 160, 1));
    const back = join(root, "drawn.nii.gz");
    assert.equal((await sfr("unstitch", join(out, "a_canvas.json"), "--out", back)).code, 0);
    const drawn = await readLabels(back);
    assert.deepEqual([...new Set(drawn.data)], [7]);
    assert.deepEqual(drawn.grid?.affine, (await readImage(image)).grid?.affine);
  });

  it("refuses a picture of another size, a missing one, and a file that is no record", async () => {
    const out = join(root, "bad");
    await sfr("stitch", label, "--labels", "--canvas", "100", "--out", out);
    const record = join(out, "a_label_canvas.json");
    await writeFile(join(out, "a_label_canvas_001.png"), encodePng(new Uint8Array(99 * 99), 99, 99, 1));
    const resized = await sfr("unstitch", record, "--out", join(root, "x.nii.gz"));
    assert.deepEqual([resized.code, resized.stdout], [3, ""]);
    assert.match(resized.stderr, /a_label_canvas_001\.png: expected 100 x 100 gray pixels, received 99 x 99/);
    await rm(join(out, "a_label_canvas_001.png"));
    assert.match((await sfr("unstitch", record)).stderr, /a_label_canvas_001\.png: .*received ENOENT/);
    assert.match(
      (await sfr("unstitch", label)).stderr,
      /a_label\.nii\.gz: expected the record of stitched canvases/,
    );
  });
});
