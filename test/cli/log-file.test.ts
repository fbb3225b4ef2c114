import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { generatePhantom } from "../../src/data/phantom.js";
import { writeLabels } from "../../src/data/volume-file.js";
import { sfr } from "./sfr.js";

type LogRecord = Readonly<Record<string, unknown>>;

describe("sfr --log-file", () => {
  let root = "";
  const path = (...parts: string[]): string => join(root, ...parts);
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-log-"));
    const { image, label } = generatePhantom(0, 1, [24, 24, 24]);
    await mkdir(path("labels"));
    await writeLabels(path("labels", "a.nii.gz"), label, image);
    await cp(path("labels"), path("predictions"), { recursive: true });
    await cp(path("labels", "a.nii.gz"), path("labels", "b.nii.gz"));
  });
  after(() => rm(root, { recursive: true }));

  async function records(file: string): Promise<LogRecord[]> {
    const lines = (await readFile(path(file), "utf8")).trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as LogRecord);
  }

  it("holds the call, stages, problems and the exit code, quiet or not", async () => {
    const words = ["evaluate", path("predictions"), path("labels"), "--quiet", "--log-file", path("log")];
    const { code, stderr } = await sfr(...words);
    assert.equal(code, 4);
    assert.match(stderr, /^sfr: case 'b': expected a prediction .*\n$/);
    const log = await records("log");
    assert.deepEqual(
      log.map(({ level, event }) => [level, event]),
      [
        ["info", "start"],
        ["info", "begin"],
        ["info", "end"],
        ["warn", "problem"],
        ["info", "exit"],
      ],
    );
    assert.deepEqual(log[0]?.arguments, words);
    assert.equal(`sfr: ${String(log[3]?.msg)}\n`, stderr);
    assert.equal(log[4]?.code, 4);
    assert.ok(log.every(({ time, pid }) => !Number.isNaN(Date.parse(String(time))) && pid === log[0]?.pid));
  });

  it("holds an error with its stack and causes, after what the file held", async () => {
    for (const name of ["none.yaml", "other.yaml"]) {
      const { code, stderr } = await sfr("run", name, "--log-file", path("error"));
      assert.equal(code, 2);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    }
    const log = await records("error");
    assert.deepEqual(
      log.map(({ event }) => event),
      ["start", "error", "exit", "start", "error", "exit"],
    );
    const { type, code, stack } = (log[1]?.err ?? {}) as LogRecord;
    assert.deepEqual([type, code, log[1]?.level], ["UsageError", "usage", "error"]);
    assert.match(String(stack), /none\.yaml: expected .*\n +at .*\ncaused by: Error: ENOENT/s);
    assert.deepEqual([log[2]?.code, log[5]?.code], [2, 2]);
  });

  for (const [what, name, reason] of [
    ["a missing folder", "none/log", "ENOENT"],
    ["a folder", "labels", "EISDIR"],
  ] as const) {
    it(`refuses ${what} with code 2`, async () => {
      const { code, stdout, stderr } = await sfr("doctor", "--log-file", path(name));
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, new RegExp(`^sfr: --log-file: expected a file .* received ${reason} for .*\n$`));
    });
  }

  it("refuses a full disk with code 2", async () => {
    const { code, stderr } = await sfr("doctor", "--log-file", "/dev/full");
    assert.equal(code, 2);
    assert.match(stderr, /^sfr: --log-file: .* received ENOSPC for \/dev\/full; .*\n$/);
  });
});
