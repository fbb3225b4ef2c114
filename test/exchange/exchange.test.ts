/** SFR+ as `exchange` runs it on phantoms: routes, labels, warm start, replay and resume. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CancelledError } from "../../src/errors.js";
import { type ExchangeOptions, exchange } from "../../src/exchange/exchange.js";
import { ExchangeLog, type ExchangeSample, readExchange } from "../../src/exchange/record.js";
import { type HostTensor, tensorsUnder } from "../../src/io/host-tensor.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { segmenters } from "../../src/models/segmenters.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { phantomCase } from "../retrain/phantom-case.js";
import { type Change, runExchange, Stages } from "./stages.js";

type State = ReadonlyMap<string, HostTensor>;

describe("SFR+", () => {
  let stages: Stages;
  let root = "";
  /** A record in which the steps' crops go both ways, to SAM alone, to the segmenter alone, and both ways again. */
  const replay = (): string => join(root, "routes.csv");
  const wanted = "frffrrrffr";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-exchange-"));
    stages = new Stages(root, await Promise.all([0, 1, 2, 3, 4, 5].map((index) => phantomCase(index))));
    const options = await stages.options({ name: "drawn", exchange: { threshold: 1, steps: 5 } });
    await runExchange(options);
    const log = await ExchangeLog.open(replay(), 0);
    log.append(
      readExchange(options.recordPath).map((sample, i) => ({
        ...sample,
        route: wanted[i] === "f" ? "finetune" : "retrain",
      })),
    );
  });
  after(() => rm(root, { recursive: true }));

  const stateOf = async (path: string): Promise<State> => (await readSafetensors(path)).tensors;
  const letters = (samples: readonly ExchangeSample[]) => samples.map(({ route }) => route[0]).join("");

  function sameTensors(one: State, other: State, wanted: (name: string) => boolean): void {
    let count = 0;
    for (const [name, { data }] of one) {
      if (!wanted(name)) continue;
      count++;
      assert.deepEqual(data, other.get(name)?.data, name);
    }
    assert.ok(count > 0);
  }

  /** What an exchange has left: its files, and the checkpoint's parts. */
  async function results(options: ExchangeOptions) {
    const state = await stateOf(options.checkpointPath);
    return {
      // Hashes: the difference of files of this size is nothing to be shown.
      files: await Promise.all(
        [options.weightsPath, options.samWeightsPath, options.recordPath].map(async (path) =>
          createHash("sha256")
            .update(await readFile(path))
            .digest("hex"),
        ),
      ),
      sam: tensorsUnder(state, "sam/"),
      segmenter: tensorsUnder(state, "segmenter/"),
      samples: readExchange(options.recordPath),
    };
  }

  async function run(change: Change) {
    const options = await stages.options(change);
    const records = await runExchange(options);
    return { options, records, ...(await results(options)) };
  }

  /** Throws unless both models have changed since stages 2 and 3. */
  async function assertLearned(sam: State, segmenter: State, options: ExchangeOptions): Promise<void> {
    const { start } = options;
    const [tuned, trained] = [await stateOf(start.samCheckpoint), await stateOf(start.segmenterCheckpoint)];
    const name = "mask_decoder.iou_token.weight";
    assert.notDeepEqual(sam.get(name)?.data, tuned.get(name)?.data);
    const head = `student/${segmenters[options.segmenter.model].headWeight}`;
    assert.notDeepEqual(segmenter.get(head)?.data, trained.get(head)?.data);
  }

  const isTrained = (name: string) => !name.startsWith("optimizer/");

  const withSam = (Object.keys(methods) as MethodName[]).filter(
    // The released tiling wants crops as deep as they are wide; all else is magicnet's.
    (method) => methods[method].names.sam !== undefined && method !== "magicnet-released",
  );
  const kinds: readonly [string, Change][] = [
    ...withSam.map((method): [string, Change] => [method, { method }]),
    ["mean-teacher-3d-u-net", { model: "unet3d" }],
    ["mean-teacher-magicnet-network", { model: "magicnet" }],
  ];
  for (const [name, change] of kinds)
    it(`${name}: both models learn from each other`, async () => {
      const exchange = { steps: 3, replay: replay() };
      const { samples, records, sam, segmenter, options } = await run({ ...change, name, exchange });
      assert.equal(letters(samples), wanted.slice(0, 6));
      for (const record of records)
        for (const [name, value] of Object.entries(record)) assert.ok(Number.isFinite(value), name);
      await assertLearned(sam, segmenter, options);
    });

  // One network, two networks, and one that has a phase of its own behind it.
  for (const method of ["mean-teacher", "cps", "bcp"] as const)
    it(`${method}: an exchange that is stopped ends in the same bits`, async () => {
      const change = { method, exchange: { steps: 4, replay: replay() } };
      const whole = await run({ ...change, name: `${method}-whole` });
      const options = await stages.options({ ...change, name: `${method}-stopped` });
      const stop = new AbortController();
      const stopping = { onStep: (t: number) => (t === 2 ? stop.abort() : undefined) };
      await assert.rejects(exchange(options, stopping, stop.signal), CancelledError);
      await runExchange(options);
      assert.deepEqual((await results(options)).files, whole.files);
    });

  it("goes on from the weights, the teacher, momentum and moments of stages 2 and 3", async () => {
    // Rates of 0 leave the weights alone: what is in the end is what was in the beginning.
    const still = { samRate: 0, segmenterRate: 0, steps: 1, threshold: 0 };
    const { options, sam, segmenter } = await run({ name: "still", exchange: still });
    const [tuned, trained] = [
      await stateOf(options.start.samCheckpoint),
      await stateOf(options.start.segmenterCheckpoint),
    ];
    sameTensors(sam, tuned, isTrained);
    sameTensors(segmenter, trained, (name) => name.startsWith("student/") && !name.includes("running_"));
    // One update for each of two crops: AdamW's first moment keeps 0.9^2 of what it was.
    const begun = await run({ name: "begun", exchange: { ...still, optimizers: "fresh" } });
    const key = "optimizer/first/mask_decoder.iou_token.weight";
    const first = (state: State) => Number(state.get(key)?.data[0]);
    const expected = 0.81 * first(tuned) + first(begun.sam);
    assert.ok(
      Math.abs(first(sam) - expected) < 1e-6 * Math.abs(expected) + 1e-12,
      `${first(sam)}, ${expected}`,
    );
    assert.notEqual(first(tuned), 0);
    // EMA counts on: the teacher does not become a copy of the student again, as in the first step of a training.
    assert.notDeepEqual(
      segmenter.get("teacher/out_conv.weight")?.data,
      segmenter.get("student/out_conv.weight")?.data,
    );
  });

  it("has learning rates of its own, which the ends of the stages' schedules do not stop", async () => {
    const { records } = await run({ name: "rates", exchange: { threshold: 0, steps: 3 } });
    const near = (value: number | undefined, expected: number) =>
      assert.ok(Math.abs((value ?? 0) - expected) < 1e-6 * expected, `${value}, expected ${expected}`);
    for (const [t, record] of records.entries()) {
      near(record.learningRate, 0.1 * 0.05 * (1 - t / 3) ** 0.9);
      near(record.samLearningRate, 0.1 * 1e-5 * (1 - t / 3) ** 0.9);
    }
  });

  it("with threshold 0 every crop teaches SAM, and the segmenter learns without pseudo-labels", async () => {
    const { samples, records, sam, segmenter, options } = await run({
      name: "zero",
      exchange: { threshold: 0 },
    });
    assert.ok(samples.every(({ route, loss }) => route === "finetune" && loss !== null && loss > 0));
    assert.ok(
      records.every(({ finetuneShare, pseudoLabel }) => finetuneShare === 1 && pseudoLabel === undefined),
    );
    await assertLearned(sam, segmenter, options);
  });

  it("with threshold 1 SAM stays as it was", async () => {
    const { samples, records, sam, options } = await run({ name: "one", exchange: { threshold: 1 } });
    assert.ok(samples.every(({ route, loss }) => route === "retrain" && loss !== null && loss > 0));
    assert.ok(records.every(({ samLoss }) => samLoss === undefined));
    sameTensors(sam, await stateOf(options.start.samCheckpoint), () => true);
  });

  it("where sure crops take no part, a step of sure crops alone leaves the segmenter and its teacher", async () => {
    const change = { threshold: 0, consistency: "unsure" };
    const { segmenter, records, options } = await run({ name: "skipped", exchange: change });
    sameTensors(segmenter, await stateOf(options.start.segmenterCheckpoint), () => true);
    assert.ok(records.every(({ loss, samLoss = 0 }) => loss === undefined && samLoss > 0));
    const some = await run({
      name: "unsure",
      exchange: { steps: 5, consistency: "unsure", replay: replay() },
    });
    const all = await run({ name: "unsure-not", exchange: { steps: 5, replay: replay() } });
    const consistency = ({ records }: typeof all) => records.map((record) => record.consistency);
    assert.notEqual(consistency(some)[0], consistency(all)[0]);
    assert.equal(consistency(some)[1], undefined);
  });

  it("keeps voxels that the segmenter is not sure of from SAM where told so", async () => {
    // Between the confidences of voxels.
    const exchangeOf = (samTarget: string) => ({ threshold: 0.35, samTarget, steps: 1, replay: replay() });
    const all = await run({ name: "target-all", exchange: exchangeOf("all") });
    const sure = await run({ name: "target-sure", exchange: exchangeOf("sure") });
    assert.equal(all.samples[0]?.mean, sure.samples[0]?.mean);
    assert.notEqual(all.samples[0]?.loss, sure.samples[0]?.loss);
  });

  it("labels crops by SAM as it stands, not as fine-tuning left it", async () => {
    const fast = { samRate: 1000, segmenterRate: 0, steps: 5, replay: replay() };
    const learning = await run({ name: "sam-learns", exchange: fast });
    const still = await run({ name: "sam-still", exchange: { ...fast, samRate: 0 } });
    const lossesOf = ({ samples }: typeof still) =>
      samples.filter(({ route }) => route === "retrain").map(({ loss }) => loss);
    // Both labels of a step are made before either model learns from them.
    assert.equal(lossesOf(learning)[0], lossesOf(still)[0]);
    assert.notEqual(lossesOf(learning)[1], lossesOf(still)[1]);
  });

  it("works with one unlabelled volume, one crop a step and a SAM that was not fine-tuned", async () => {
    const retrain = { unlabelledBatch: 1, labelledBatch: 1 };
    const { samples } = await run({ name: "single", retrain, unlabelled: 1 });
    assert.equal(samples.length, 6);
    assert.equal(new Set(samples.map(({ caseId }) => caseId)).size, 1);
    const options = await stages.options({ name: "untuned", exchange: { threshold: 0 } });
    await runExchange({
      ...options,
      finetune: { ...options.finetune, steps: 0 },
      start: { ...options.start, samCheckpoint: join(root, "there-is-none") },
    });
  });

  it("replays a record: the same routes whatever the threshold, and then the same bits", async () => {
    const first = await run({ name: "first", exchange: { threshold: 1, segmenterRate: 0, steps: 5 } });
    const sorted = first.samples.map(({ mean }) => mean).sort((a, b) => a - b);
    // Half of the crops reach it while the segmenter hardly changes.
    const change = { threshold: sorted[5] ?? Number.NaN, segmenterRate: 1e-6, steps: 5 };
    const recorded = await run({ name: "recorded", exchange: change });
    assert.match(letters(recorded.samples), /fr|rf/);
    for (const { mean, route } of recorded.samples)
      assert.equal(route === "finetune", mean >= change.threshold);
    const path = recorded.options.recordPath;
    const replayed = await run({ name: "replayed", exchange: { ...change, threshold: 1, replay: path } });
    assert.deepEqual(replayed.files, recorded.files);

    const foreign = await stages.options({ name: "foreign", exchange: { ...change, replay: path } });
    await assert.rejects(
      runExchange({ ...foreign, seed: 4 }),
      /^DataError: .*recorded\.csv: expected crops of .* in step/,
    );
    const longer = await stages.options({ name: "longer", exchange: { ...change, steps: 6, replay: path } });
    await assert.rejects(runExchange(longer), /in step 6, received none; replay a run of the same data/);
  });
});
