import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { confidenceBins } from "../../src/exchange/confidence.js";
import { ExchangeLog, type ExchangeSample, readExchange } from "../../src/exchange/record.js";

const histogram = confidenceBins.map((_, bin) => bin / 21);

function sample(step: number, change: Partial<ExchangeSample> = {}): ExchangeSample {
  const known = {
    sample: 0,
    caseId: "a",
    mean: 0.1 + 0.2,
    foreground: 1 / 3,
    route: "retrain",
    loss: 0.5,
  } as const;
  return { step, ...known, histogram, ...change };
}

describe("the record of an exchange", () => {
  let root = "";
  const path = (): string => join(root, "exchange.csv");
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-exchange-"));
  });
  after(() => rm(root, { recursive: true }));

  it("reads what was written, to the last bit", async () => {
    const samples = [
      sample(1, { caseId: 'a, "b"', route: "finetune" }),
      sample(1, { sample: 1, foreground: null, loss: null, mean: Number.NaN }),
      sample(2, { caseId: "" }),
    ];
    const log = await ExchangeLog.open(path(), 0);
    log.append(samples.slice(0, 2));
    log.append(samples.slice(2));
    assert.deepEqual(readExchange(path()), samples);
  });

  it("drops what lies behind a checkpoint, also a line that a kill has cut off", async () => {
    const log = await ExchangeLog.open(path(), 0);
    log.append([sample(1), sample(2), sample(10)]);
    await appendFile(path(), "11,0,a,0.");
    const resumed = await ExchangeLog.open(path(), 2);
    resumed.append([sample(3)]);
    assert.deepEqual(
      readExchange(path()).map(({ step }) => step),
      [1, 2, 3],
    );
  });

  it("names the line that is none", async () => {
    const log = await ExchangeLog.open(path(), 0);
    log.append([sample(1)]);
    const text = await readFile(path(), "utf8");
    await writeFile(path(), text.replace("retrain", "neither"));
    assert.throws(
      () => readExchange(path()),
      /^DataError: .*exchange\.csv:2: expected a step, a crop and its route/,
    );
    await writeFile(path(), "row,case\r\n");
    assert.throws(() => readExchange(path()), /^DataError: .*exchange\.csv:1: expected the columns step, /);
    assert.throws(
      () => readExchange(join(root, "none.csv")),
      /^DataError: .*none\.csv: expected a readable file/,
    );
  });
});
