import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { findCases, shardOf } from "../../src/batch/cases.js";
import { caseBytes, MemoryGate } from "../../src/batch/memory.js";
import { postProcess } from "../../src/batch/postprocess.js";
import { wholeGeometry } from "../../src/data/case-geometry.js";
import { readImage, readLabels, writeImage } from "../../src/data/volume-file.js";
import { Tensor } from "../../src/native/tensor.js";
import { type Outcome, sfr, startSfr } from "../cli/sfr.js";
import { tinyLabelIds } from "../e2e/tiny-set.js";
import { makeTinyModel, writeVolumes } from "./tiny-model.js";

const labelIds: readonly number[] = tinyLabelIds;

describe("sfr pseudo-label", () => {
  let root = "";
  let model = "";
  let input = "";
  let ids: string[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-batch-"));
    model = await makeTinyModel(root);
    input = join(root, "in");
    ids = await writeVolumes(input, 12);
  });
  after(() => rm(root, { recursive: true }));

  const wordsFor = (out: string, ...more: string[]): string[] => [
    ...["pseudo-label", "--model", model, "--input", input, "--out", join(root, out), "--quiet", ...more],
  ];
  const outcomeOf = (outcome: Outcome, code: number): Outcome => {
    assert.equal(outcome.code, code, outcome.stderr);
    return outcome;
  };
  const label = async (out: string, ...more: string[]): Promise<Outcome> =>
    outcomeOf(await sfr(...wordsFor(out, ...more)), 0);
  const timesOf = async (out: string): Promise<number[]> =>
    Promise.all(ids.map(async (id) => (await stat(join(root, out, `${id}.nii.gz`))).mtimeMs));

  it("writes labels, probabilities that agree with them, the ranking and the page", async () => {
    await label("whole", "--maps", "probabilities");
    const out = join(root, "whole");
    const ranking = (await readFile(join(out, "ranking.csv"), "utf8")).trimEnd().split("\r\n");
    const rows = ranking.slice(1).map((line) => line.split(","));
    assert.deepEqual(rows.map(([, id]) => id).sort(), ids);
    const confidences = rows.map((row) => Number(row[3]));
    assert.deepEqual(
      confidences,
      [...confidences].sort((a, b) => a - b),
      "least sure first",
    );
    for (const id of ids.slice(0, 3)) {
      const image = await readImage(join(input, `${id}.nii.gz`));
      const labels = await readLabels(join(out, `${id}.nii.gz`));
      const confidence = await readImage(join(out, "confidence", `${id}.nii.gz`));
      const maps = await Promise.all(
        labelIds.map((labelId) => readImage(join(out, "probabilities", id, `${labelId}.nii.gz`))),
      );
      for (const map of [confidence, ...maps]) assert.deepEqual(map.grid?.affine, image.grid?.affine);
      // A map has steps of 1/255: half of one for its rounding, and as much for the other's.
      const step = 1.01 / 255;
      let mean = 0;
      const volumes = new Map<number, number>();
      for (const [i, labelId] of labels.data.entries()) {
        const values = maps.map((map) => map.data[i] ?? Number.NaN);
        const own = values[labelIds.indexOf(labelId)] ?? Number.NaN;
        assert.ok(Math.abs(own - (confidence.data[i] ?? 0)) < step && own > Math.max(...values) - step);
        assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0) - 1) < 2 * step);
        mean += (confidence.data[i] ?? 0) / labels.data.length;
        volumes.set(labelId, (volumes.get(labelId) ?? 0) + 0.5 * 0.75 * 2);
      }
      const row = rows.find(([, name]) => name === id) ?? [];
      assert.ok(Math.abs(Number(row[3]) - mean) < step, `${row[3]} is not the mean ${mean}`);
      assert.deepEqual(
        row.slice(6, 8).map(Number),
        labelIds.slice(1).map((labelId) => volumes.get(labelId) ?? 0),
      );
    }
    const html = await readFile(join(out, "review.html"), "utf8");
    assert.equal(html.match(/<img /g)?.length, ids.length);
  });

  it("leaves finished cases as they are, but not those of other content or settings", async () => {
    const [first = "", second = ""] = ids.map((id) => join(input, `${id}.nii.gz`));
    const bytes = await readFile(second);
    // Stored, not packed: the change of a voxel leaves the size as it is.
    const voxels = gunzipSync(bytes);
    await writeFile(second, gzipSync(voxels, { level: 0 }));
    await label("again");
    const before = await timesOf("again");
    await utimes(first, 1, 1);
    voxels.writeFloatLE(9, 352);
    await writeFile(second, gzipSync(voxels, { level: 0 }));
    await rm(join(root, "again", `${ids[4]}.nii.gz`));
    await label("again");
    await writeFile(second, bytes);
    const changed = (await timesOf("again")).map((time, i) => (time === before[i] ? "same" : "new"));
    assert.deepEqual(
      changed,
      ids.map((_, i) => (i === 1 || i === 4 ? "new" : "same")),
    );
    await label("again", "--fill-holes");
    assert.ok((await timesOf("again")).every((time, i) => time !== before[i]));
  });

  it("names classes beside the labels, and in the header of those of an NRRD image", async () => {
    const image = join(root, "one.nrrd");
    await writeImage(image, await readImage(join(input, `${ids[0]}.nii.gz`)));
    const out = join(root, "named");
    outcomeOf(await sfr("pseudo-label", "--model", model, "--input", image, "--out", out, "--quiet"), 0);
    const table = await readFile(join(out, "labels.ctbl"), "utf8");
    const classes = labelIds.slice(1);
    for (const id of classes) assert.match(table, new RegExp(`^${id} label_${id} [\\d ]+ 255$`, "m"));
    const { stdout } = outcomeOf(await sfr("inspect", join(out, "one.nrrd"), "--json"), 0);
    const { segments } = JSON.parse(stdout) as { segments: Record<string, string> };
    assert.deepEqual(segments, Object.fromEntries(classes.map((id) => [id, `label ${id}`])));
  });

  it("says of a folder without a fine-tuned SAM what to give", async () => {
    const words = ["--input", input, "--out", join(root, "none"), "--quiet"];
    const { stderr } = outcomeOf(await sfr("pseudo-label", "--model", input, ...words), 3);
    assert.match(stderr, /in: expected a run with a fine-tuned SAM .*received a folder without; give/);
  });

  it("stops on SIGINT with code 130 and loses at most what was in work", async () => {
    const call = startSfr(...wordsFor("stopped"));
    const out = join(root, "stopped");
    const countOf = async () =>
      (await readdir(out).catch(() => [])).filter((name) => /^case.*gz$/.test(name)).length;
    while ((await countOf()) < 2 && call.process.exitCode === null) await setTimeout(5);
    call.process.kill("SIGINT");
    const { code, stderr } = await call.ended;
    assert.equal(code, 130, stderr);
    const [manifest = ""] = (await readdir(join(out, "manifest"))).filter((name) => name.endsWith("l"));
    const lines = (await readFile(join(out, "manifest", manifest), "utf8")).trimEnd().split("\n").length;
    assert.equal(await countOf(), lines, "every file that is there is on record");
    assert.ok(lines < ids.length, "it was stopped too late");
    assert.deepEqual(await readdir(join(out, "manifest", "claims")), []);
    const { labelled } = JSON.parse((await label("stopped", "--json")).stdout) as { labelled: number };
    assert.equal(labelled, ids.length - lines);
  });

  it("is shared by processes that need not know of each other, and each ends when all is done", {
    timeout: 60_000,
  }, async () => {
    const calls = [1, 2, 3].map(() => sfr(...wordsFor("shared", "--json", "--threads", "1")));
    const counts = (await Promise.all(calls)).map((outcome) => {
      const { written, labelled } = JSON.parse(outcomeOf(outcome, 0).stdout) as {
        written: string[];
        labelled: number;
      };
      assert.equal(written.length, ids.length);
      return labelled;
    });
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      ids.length,
      `${counts}`,
    );
  });

  it("takes the parts of --shard, and all of them are the whole", async () => {
    for (const part of ["1/2", "2/2"]) await label("parts", "--shard", part);
    assert.equal((await timesOf("parts")).length, ids.length);
    const { stdout } = await label("parts", "--json");
    assert.equal((JSON.parse(stdout) as { labelled: number }).labelled, 0);
    outcomeOf(await sfr(...wordsFor("parts", "--shard", "3/2")), 2);
  });

  it("predict: gives SAM's labels as well, smoothed by mirror images when asked", async () => {
    const words = ["predict", input, "--weights", join(model, "finetune", "sam.safetensors"), "--quiet"];
    outcomeOf(await sfr(...words, "--out", join(root, "plain")), 0);
    outcomeOf(await sfr(...words, "--out", join(root, "mirrored"), "--mirror", "--gaussian", "--review"), 0);
    const read = async (out: string) => readFile(join(root, out, `${ids[0]}.nii.gz`));
    assert.deepEqual(await read("plain"), await read("whole"));
    assert.notDeepEqual(await read("mirrored"), await read("plain"));
    assert.ok((await stat(join(root, "mirrored", "review.html"))).size > 0);
  });
});

describe("parts of a batch", () => {
  it("finds volumes in folders, lists and data sets, and a name twice as a problem of its case", async () => {
    const root = await mkdtemp(join(tmpdir(), "sfr-cases-"));
    try {
      const touch = (...names: string[]) => Promise.all(names.map((name) => writeFile(join(root, name), "")));
      for (const folder of ["plain", "set/images", "set/labels"])
        await mkdir(join(root, folder), { recursive: true });
      await touch("plain/a.nii", "plain/a.nii.gz", "plain/b.mha", "set/images/p.nii", "set/images/q.nii");
      await touch("set/labels/p.nii");
      await writeFile(join(root, "some.list"), "one plain/b.mha\ntwo plain/a.nii\none plain/a.nii\n");
      const found = async (...paths: string[]) =>
        (await findCases(paths.map((path) => join(root, path)))).map(({ id, problem }) => [
          id,
          problem !== undefined,
        ]);
      assert.deepEqual(await found("plain"), [
        ["a", true],
        ["b", false],
      ]);
      assert.deepEqual(await found("set"), [["q", false]]);
      assert.deepEqual(await found("some.list", "plain/b.mha"), [
        ["one", true],
        ["two", false],
        ["b", false],
      ]);
      await touch("set/labels/q.nii");
      await assert.rejects(found("set"), /labels for all; give the folder of the images/);
    } finally {
      await rm(root, { recursive: true });
    }
  });

  it("cuts cases into disjoint parts", () => {
    const cases = Array.from({ length: 7 }, (_, i) => ({ id: `${i}`, image: "" }));
    const parts = [1, 2, 3].map((index) => shardOf(cases, `${index}/3`).map(({ id }) => id));
    assert.deepEqual(parts, [
      ["0", "3", "6"],
      ["1", "4"],
      ["2", "5"],
    ]);
    for (const text of ["0/3", "4/3", "1", "1/3/5", "a/b"])
      assert.throws(() => shardOf(cases, text), /--shard/);
  });

  it("lets volumes into memory in turn, and refuses one that would not fit alone", async () => {
    const gate = new MemoryGate(10);
    const [leaveA, leaveB] = [await gate.enter("a", 4), await gate.enter("b", 6)];
    let entered = false;
    const c = gate.enter("c", 5).then(() => {
      entered = true;
    });
    leaveA();
    await setTimeout(1);
    assert.equal(entered, false, "4 of 10 are free");
    leaveB();
    await c;
    await assert.rejects(gate.enter("d", 11), /case 'd': expected a volume that fits/);
    const network = { channels: 1, classes: 2, patch: [4, 4, 4] } as const;
    const cube = wholeGeometry({ shape: [8, 8, 8], spacing: null });
    const small = caseBytes(cube, network, "none");
    assert.ok(caseBytes(cube, network, "probabilities") > small - 1);
    const tall = wholeGeometry({ shape: [8, 8, 16], spacing: null });
    assert.ok(caseBytes(tall, network, "none") > small + 16 * 8 * 8 * 8 - 1);
    // A resampled case has the file beside what the network sees.
    assert.ok(caseBytes({ ...cube, shape: [4, 4, 4] }, network, "none") > small);
    assert.ok(caseBytes(cube, { ...network, channels: 4 }, "none") >= small + 3 * 8 * 8 * 8 * 8);
  });

  it("cleans labels: small components by mm3, the largest component, holes", async () => {
    const row = [1, 1, 0, 1, 0, 2, 2, 2, 0, 1, 1, 1];
    const cleaned = async (
      post: Partial<Parameters<typeof postProcess>[1]>,
      voxelVolume = 1,
    ): Promise<number[]> => {
      using labels = Tensor.from("u8", [1, 1, row.length], row);
      await postProcess(
        labels,
        { largestComponent: false, fillHoles: false, minVolume: null, ...post },
        voxelVolume,
      );
      return [...labels.u8];
    };
    assert.deepEqual(await cleaned({}), row);
    assert.deepEqual(await cleaned({ minVolume: 1 }, 0.5), [1, 1, 0, 0, 0, 2, 2, 2, 0, 1, 1, 1]);
    assert.deepEqual(await cleaned({ largestComponent: true }), [0, 0, 0, 0, 0, 2, 2, 2, 0, 1, 1, 1]);
    using block = Tensor.from(
      "u8",
      [3, 3, 3],
      Array.from({ length: 27 }, (_, i) => (i === 13 ? 0 : 3)),
    );
    await postProcess(block, { largestComponent: false, fillHoles: true, minVolume: null }, 1);
    assert.ok(block.u8.every((value) => value === 3));
  });
});
