import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { benchLineSchema } from "../../bench/result.js";
import { readImage, readLabels, writeLabels } from "../../src/data/volume-file.js";
import { readExchange } from "../../src/exchange/record.js";
import { readEvents } from "../../src/io/event-log.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import type { Summary } from "../../src/metrics/summary.js";
import { type RunRecord, readRunRecord } from "../../src/run/run-folder.js";
import { sfr } from "../cli/sfr.js";
import { differences } from "./run-comparison.js";
import { type TinySet, tinyArms, tinyLabelIds, tinySteps, tinyTestCases, writeTinySet } from "./tiny-set.js";

const demoConfig = fileURLToPath(new URL("../../../configs/demo.yaml", import.meta.url));

/** Stages of a run, in their order. */
const stages = [
  ...["prepare", "finetune", "canvas-pictures", "pseudo-label"],
  ...["retrain/v-net-labelled-only", "retrain/sfr-random-sam", "exchange/sfr-plus-random-sam"],
  ...tinyArms.map((arm) => `predict/${arm}`),
  ...tinyArms.map((arm) => `evaluate/${arm}`),
];

describe("sfr, the whole chain on tiny phantoms", () => {
  let root = "";
  let set: TinySet = { data: "", config: "" };
  const reference = (): string => join(root, "reference");
  const prediction = (id: string): string =>
    join(reference(), "arms", "sfr-random-sam", "predictions", `${id}.nii.gz`);
  const weights = (): string => join(reference(), "arms", "sfr-random-sam", "segmenter.safetensors");
  let table = "";

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-chain-"));
    set = await writeTinySet(root);
    table = await succeed("run", set.config, "--out", reference());
  });
  after(() => rm(root, { recursive: true }));

  /** Runs a command that has to end well. @returns its standard output */
  async function succeed(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await sfr(...words, "--quiet");
    assert.equal(code, 0, `sfr ${words.join(" ")}: ${stderr}`);
    assert.equal(stderr, "", "nothing to say of a run that ends well");
    return stdout;
  }

  async function succeedWithJson<T>(...words: string[]): Promise<T> {
    return JSON.parse(await succeed(...words, "--json")) as T;
  }

  function recordOf(folder: string): RunRecord {
    return readRunRecord(folder) ?? assert.fail(`${folder} holds no run`);
  }

  async function runSummary(folder: string): Promise<Record<string, Summary>> {
    const text = await readFile(join(folder, "summary.json"), "utf8");
    return (JSON.parse(text) as { arms: Record<string, Summary> }).arms;
  }

  it("run: goes through all stages and prints the table", async () => {
    const { status, stages: records, cases } = recordOf(reference());
    assert.equal(status, "done");
    assert.deepEqual(
      records.map(({ name, status: how }) => [name, how]),
      stages.map((name) => [name, "done"]),
    );
    assert.deepEqual(cases, Object.fromEntries(tinyTestCases.map((id) => [id, { status: "done" }])));
    for (const name of [
      "V-Net, labelled only",
      "SAM (random start)",
      "SFR (random SAM)",
      "SFR+ (random SAM)",
    ])
      assert.ok(table.includes(name), table);
    assert.ok(table.includes(`Report: ${join(reference(), "report.html")}`), table);
    assert.match(await readFile(join(reference(), "report.html"), "utf8"), /SFR \(random SAM\)/);
    const pictures = ["canvas-reference.png", "canvas-sam.png", "sfr-random-sam/phantom_006.png"];
    for (const name of pictures) assert.ok(existsSync(join(reference(), "pictures", name)), name);
    assert.equal(existsSync(join(reference(), "lock")), false);
  });

  it("run: has an event for each step of each training, and for each case", () => {
    const events = readEvents(join(reference(), "events.jsonl"));
    const steps = (stage: string, arm?: string): number[] =>
      events.filter((event) => event.stage === stage && event.arm === arm).map(({ step }) => step);
    const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
    assert.deepEqual(steps("finetune"), upTo(tinySteps.finetune));
    assert.deepEqual(steps("pseudo-label"), upTo(3));
    for (const arm of ["V-Net, labelled only", "SFR (random SAM)"])
      assert.deepEqual(steps("retrain", arm), upTo(tinySteps.retrain));
    assert.deepEqual(steps("exchange", "SFR+ (random SAM)"), upTo(tinySteps.exchange));
    for (const arm of ["V-Net, labelled only", "SAM (random start)", "SFR (random SAM)", "SFR+ (random SAM)"])
      assert.deepEqual(steps("predict", arm), upTo(tinyTestCases.length));
    const trained = events.filter(({ stage }) => ["finetune", "retrain", "exchange"].includes(stage));
    assert.ok(trained.every(({ loss }) => loss !== undefined && loss > 0 && loss < 10));
  });

  it("run: records where SFR+ has sent each crop, and tells of it", async () => {
    const record = join(reference(), "arms", "sfr-plus-random-sam", "exchange.csv");
    const samples = readExchange(record);
    assert.equal(samples.length, tinySteps.exchange);
    const sure = samples.filter(({ route }) => route === "finetune").length;
    assert.ok(sure > 0 && sure < samples.length, `${sure} of ${samples.length}: one side alone shows little`);
    const report = await readFile(join(reference(), "report.html"), "utf8");
    assert.match(report, /Crops that teach SAM/);
    for (const text of [report, table])
      assert.ok(text.includes(`SFR+ (random SAM): ${sure} of ${samples.length} unlabelled crops taught SAM`));
  });

  it("run: predicts on the grid of each image, with the original label ids", async () => {
    for (const arm of tinyArms) {
      const colors = await readFile(join(reference(), "arms", arm, "predictions", "labels.ctbl"), "utf8");
      assert.deepEqual(
        colors
          .trimEnd()
          .split("\n")
          .slice(1)
          .map((line) => Number(line.split(" ")[0])),
        tinyLabelIds,
      );
      for (const id of tinyTestCases) {
        const labels = await readLabels(join(reference(), "arms", arm, "predictions", `${id}.nii.gz`));
        const image = await readImage(join(set.data, "imagesTs", `${id}.nii.gz`));
        const place = ({ shape, spacing, grid }: typeof image | typeof labels) => [
          shape,
          spacing,
          grid?.affine,
        ];
        assert.deepEqual(place(labels), place(image));
        const found = new Set(labels.data);
        for (const label of found)
          assert.ok(
            tinyLabelIds.some((known) => known === label),
            `${label}`,
          );
        assert.ok(found.size > 1, `${arm}: nothing but background shows nothing`);
      }
    }
  });

  it("finetune, retrain and run share a folder, and none does a stage again", async () => {
    const out = join(root, "in-turn");
    const counts = { finetune: 3, retrain: 7, run: stages.length };
    let before: RunRecord["stages"] = [];
    for (const [command, count] of Object.entries(counts)) {
      await succeed(command, set.config, "--out", out);
      const { status, stages: now } = recordOf(out);
      assert.equal(status, "done");
      assert.deepEqual(
        now.map(({ name }) => name),
        stages.slice(0, count),
        command,
      );
      // The time of a stage would grow if it ran again.
      assert.deepEqual(now.slice(0, before.length), before, `${command} leaves what was done`);
      before = now;
    }
    assert.deepEqual(await differences(reference(), out), []);
  });

  it("run: a second time does nothing and says the same", async () => {
    const times = async (): Promise<number> => (await stat(weights())).mtimeMs;
    const [record, time] = [recordOf(reference()), await times()];
    assert.equal(await succeed("run", set.config, "--out", reference()), table);
    assert.deepEqual(recordOf(reference()).stages, record.stages);
    assert.equal(await times(), time);
  });

  it("run: keeps a prediction that a kill has left without a record, and makes up the record", async () => {
    const out = join(root, "unrecorded");
    await cp(reference(), out, { recursive: true, preserveTimestamps: true });
    const path = join(out, "run.json");
    const record = recordOf(out);
    const stages = record.stages.map((stage) =>
      stage.name.startsWith("predict/") ? { ...stage, status: "running" } : stage,
    );
    await writeFile(path, JSON.stringify({ ...record, stages, status: "running", cases: {} }));
    const [id] = tinyTestCases;
    const files = tinyArms.map((arm) => join(out, "arms", arm, "predictions", `${id}.nii.gz`));
    const times = () => Promise.all(files.map(async (file) => (await stat(file)).mtimeMs));
    const before = await times();
    await succeed("run", set.config, "--out", out);
    assert.deepEqual(await differences(reference(), out), []);
    assert.deepEqual(await times(), before);
  });

  it("predict: gives the bytes that the run wrote", async () => {
    const out = join(root, "predicted");
    const images = join(set.data, "imagesTs");
    const words = ["--weights", weights(), "--stride", "5,4,6", "--out", out];
    const { written } = await succeedWithJson<{ written: string[] }>("predict", images, ...words);
    assert.deepEqual(
      written,
      tinyTestCases.map((id) => join(out, `${id}.nii.gz`)),
    );
    assert.deepEqual((await readdir(out)).sort(), [
      "labels.ctbl",
      "manifest",
      ...tinyTestCases.map((id) => `${id}.nii.gz`),
    ]);
    for (const id of tinyTestCases)
      assert.deepEqual(await readFile(join(out, `${id}.nii.gz`)), await readFile(prediction(id)));
  });

  it("pseudo-label: gives the bytes that the run wrote, and retrain takes them as given labels", async () => {
    const [labels, out] = [join(root, "pseudo-labels"), join(root, "given")];
    await succeed("pseudo-label", "--model", reference(), "--input", set.data, "--out", labels);
    const names = (await readdir(labels)).filter((name) => name.endsWith(".nii.gz")).sort();
    assert.deepEqual(names, await readdir(join(reference(), "pseudo-labels")));
    for (const name of names)
      assert.deepEqual(
        await readFile(join(labels, name)),
        await readFile(join(reference(), "pseudo-labels", name)),
      );
    await succeed("retrain", set.config, "--pseudo-labels", labels, "--out", out);
    // The same labels, so the same training; SAM itself is needed for its own arm only.
    const trained = (folder: string, arm: string) =>
      readFile(join(folder, "arms", arm, "segmenter.safetensors"));
    assert.deepEqual(await trained(out, "sfr-given-labels"), await trained(reference(), "sfr-random-sam"));
  });

  it("retrain: refuses given labels of another grid, with other ids, or missing", async () => {
    const labels = join(root, "wrong-labels");
    const from = join(reference(), "pseudo-labels");
    const file = join(labels, "phantom_003.nii.gz");
    const refuse = async (message: RegExp) => {
      const words = ["--pseudo-labels", labels, "--out", join(root, "refused")];
      const { code, stderr } = await sfr("retrain", set.config, ...words, "--finetune-steps", "1");
      assert.equal(code, 3, stderr);
      assert.match(stderr, message);
    };
    await refuse(/expected per-crop, per-volume or a folder of label files/);
    await cp(from, labels, { recursive: true });
    await rm(file);
    await refuse(/expected a label file for the unlabelled case 'phantom_003', received none/);
    const volume = await readLabels(join(from, "phantom_003.nii.gz"));
    await writeLabels(file, { ...volume, data: volume.data.map((id) => (id === 7 ? 8 : id)) }, volume);
    await refuse(/phantom_003\.nii\.gz: expected label ids 0, 4, 7, received 8/);
    const spacing = [9, 9, 9] as const;
    await writeLabels(
      file,
      { shape: volume.shape, data: volume.data, spacing },
      { shape: volume.shape, spacing },
    );
    await refuse(/phantom_003\.nii\.gz: expected spacing .* as the image of 'phantom_003' has/);
  });

  it("evaluate: gives the scores of the run, against label files and against the data set", async () => {
    const arms = await runSummary(reference());
    const expected: Summary = arms["SFR (random SAM)"] ?? assert.fail("no scores of the arm");
    const predictions = join(reference(), "arms", "sfr-random-sam", "predictions");
    for (const [index, references] of [join(set.data, "labelsTs"), set.data].entries()) {
      const out = join(root, `scores-${index}`);
      const words = ["evaluate", predictions, references, "--out", out, "--paper", "--tolerance", "1"];
      const { summary } = await succeedWithJson<{ summary: Summary }>(...words);
      for (const part of ["foreground_mean", "foreground_sd", "mean", "sd", "n_valid"] as const)
        assert.deepEqual(summary[part], expected[part], part);
      assert.equal(summary.nsd_tolerance, 1);
      assert.match(summary.paper?.rule ?? "", /the prediction lacks/);
      assert.deepEqual(
        summary.metric_per_case.map(({ id, metrics }) => [id, metrics]),
        expected.metric_per_case.map(({ id, metrics }) => [id, metrics]),
      );
      assert.deepEqual(JSON.parse(await readFile(join(out, "summary.json"), "utf8")), summary);
      assert.equal((await readFile(join(out, "summary.csv"), "utf8")).split("\n")[0]?.split(",")[0], "row");
    }
  });

  it("stitch and unstitch: give a prediction back with the same bytes", async () => {
    const [id] = tinyTestCases;
    const out = join(root, "canvases");
    const words = ["--labels", "--canvas", "160", "--out", out];
    const { records } = await succeedWithJson<{ records: string[] }>("stitch", prediction(id), ...words);
    const back = join(root, "back.nii.gz");
    await succeed("unstitch", records[0] ?? "", "--out", back);
    assert.deepEqual(await readFile(back), await readFile(prediction(id)));
  });

  it("inspect: knows the run, the data set, the weights and a prediction", async () => {
    const inspect = (path: string) => succeedWithJson<Record<string, unknown>>("inspect", path);
    const run = await inspect(reference());
    assert.deepEqual([run.kind, run.status, run["failed cases"]], ["run folder", "done", []]);
    const data = await inspect(set.data);
    assert.deepEqual([data.kind, data["test cases"]], ["data set", [...tinyTestCases]]);
    const { metadata } = await inspect(weights());
    const { data: card = "", sfr: network = "" } = metadata as Record<string, string>;
    assert.deepEqual((JSON.parse(card) as { labelIds: unknown }).labelIds, [...tinyLabelIds]);
    assert.equal((JSON.parse(network) as { classes: unknown }).classes, tinyLabelIds.length);
    const label = await inspect(join(set.data, "labelsTs", `${tinyTestCases[0]}.nii.gz`));
    assert.deepEqual(label["label ids"], [...tinyLabelIds]);
  });

  it("run: trains a 3D U-Net instead, which predicts with nothing but its file", async () => {
    const [out, predicted] = [join(root, "unet3d"), join(root, "unet3d-predicted")];
    const words = ["--segmenter-model", "unet3d", "--patch", "32,16,16", "--predict-stride", "8,8,8"];
    assert.ok((await succeed("run", set.config, ...words, "--out", out)).includes("3D U-Net, labelled only"));
    const losses = readEvents(join(out, "events.jsonl"))
      .filter(({ stage, arm }) => stage === "retrain" && arm === "SFR (random SAM)")
      .map(({ loss = Number.NaN }) => loss);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    assert.equal(losses.length, tinySteps.retrain);
    assert.ok(mean(losses.slice(-4)) < mean(losses.slice(0, 4)), losses.join(" "));
    const arm = join(out, "arms", "sfr-random-sam");
    const file = join(arm, "segmenter.safetensors");
    const { tensors } = await readSafetensors(file);
    assert.deepEqual(tensors.get("up_concat4.conv.conv1.0.weight")?.shape, [16, 48, 3, 3, 3]);
    assert.deepEqual(tensors.get("dsv4.dsv.0.weight")?.shape, [tinyLabelIds.length, 16, 1, 1, 1]);
    await succeed(
      "predict",
      join(set.data, "imagesTs"),
      "--weights",
      file,
      "--stride",
      "8,8,8",
      "--out",
      predicted,
    );
    for (const id of tinyTestCases)
      assert.deepEqual(
        await readFile(join(predicted, `${id}.nii.gz`)),
        await readFile(join(arm, "predictions", `${id}.nii.gz`)),
      );
  });

  it("doctor: finds the addon", async () => {
    const { addon, devices } = await succeedWithJson<Record<string, unknown>>("doctor");
    assert.equal(addon, "loads");
    assert.match(String(devices), /^cpu/);
  });

  it("bench: appends lines of the format", async () => {
    const path = join(root, "bench.jsonl");
    const { code, stdout, stderr } = await sfr("bench", "stitch", "--json", path);
    assert.equal(code, 0, stderr);
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    const [first] = lines.map((line) => benchLineSchema.parse(JSON.parse(line)));
    assert.deepEqual([first?.bench, first?.impl], ["stitch", "sfr"]);
    assert.match(stdout, /\| sfr +\|/);
  });

  it("demo: with LoRA trains SAM's updates and decoder, and leaves its random encoder as it was", async () => {
    const loraAfter = async (finetuneSteps: number, ...command: string[]) => {
      const out = join(root, `lora-${finetuneSteps}`);
      const size = ["--patch", "16,16,16", "--sam-canvas", "64", "--segmenter-filters", "2"];
      const cases = ["--data-labelled", "2", "--data-unlabelled", "3", "--data-test", "2"];
      const steps = ["--finetune-steps", String(finetuneSteps), "--retrain-steps", "2"];
      const labels = ["--pseudo-labels", "per-crop", "--predict-stride", "16,16,16"];
      const words = [...size, ...cases, ...steps, ...labels, "--sam-train", "lora"];
      const text = await succeed(...command, "--data", set.data, ...words, "--out", out);
      assert.equal(recordOf(out).status, "done");
      assert.equal(text.includes("SFR (random SAM)"), command[0] === "demo", text);
      return (await readSafetensors(join(out, "finetune", "sam.safetensors"))).tensors;
    };
    const [short, long] = [await loraAfter(1, "finetune", demoConfig), await loraAfter(2, "demo")];
    const same = (name: string): boolean =>
      Buffer.compare(bytesOf(short.get(name)?.data), bytesOf(long.get(name)?.data)) === 0;
    const names = [...long.keys()];
    const encoder = names.filter((name) => name.startsWith("image_encoder."));
    assert.ok(encoder.length > 40 && encoder.every(same), "the encoder is frozen");
    const updates = names.filter((name) => /^w_[ab]_\d{3}$/.test(name));
    assert.equal(updates.length, 16, "two pairs in each of four blocks");
    assert.ok(!updates.some(same), "LoRA trains");
    assert.ok(!same("mask_decoder.mask_tokens.weight"), "the decoder trains");
  });
});

function bytesOf(data: ArrayBufferView | undefined): Buffer {
  assert.ok(data !== undefined);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
