import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type BatchRecord, Manifest } from "../../src/batch/manifest.js";

describe("Manifest", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-manifest-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const record = (id: string, second: number, status: BatchRecord["status"] = "done"): BatchRecord => ({
    ...{ id, image: `/${id}.nii`, work: "w", source: null, status, worker: "here:1" },
    finished: `2026-01-01T00:00:0${second}.000Z`,
  });

  it("keeps the latest record of a case, whichever machine wrote it", async () => {
    await writeFile(join(folder, "other.jsonl"), `${JSON.stringify(record("a", 3))}\n`);
    await using manifest = await Manifest.open(folder);
    await manifest.append(record("a", 2, "failed"));
    await manifest.append(record("b", 1, "failed"));
    await manifest.append(record("b", 4));
    assert.deepEqual([manifest.get("a")?.status, manifest.get("b")?.status], ["done", "done"]);
    await using again = await Manifest.open(folder);
    assert.deepEqual(again.all(), manifest.all());
  });

  it("reads what others add, and a line only when it is whole", async () => {
    await using manifest = await Manifest.open(folder);
    const [path, line] = [join(folder, "other.jsonl"), `${JSON.stringify(record("a", 1))}\n`];
    await writeFile(path, line.slice(0, 20));
    assert.deepEqual(await manifest.refresh(), []);
    await appendFile(path, line.slice(20));
    assert.deepEqual(await manifest.refresh(), ["a"]);
    assert.deepEqual(await manifest.refresh(), []);
  });

  it("does not add to a line that a crash has cut off", async () => {
    {
      await using manifest = await Manifest.open(folder);
      await manifest.append(record("a", 1));
    }
    const [name = ""] = await readdir(folder);
    await appendFile(join(folder, name), '{"id":"b","ima');
    await using manifest = await Manifest.open(folder);
    await manifest.append(record("c", 2));
    assert.equal((await readFile(join(folder, name), "utf8")).split("\n").length, 4);
    await using again = await Manifest.open(folder);
    assert.deepEqual(
      again.all().map(({ id }) => id),
      ["a", "c"],
    );
  });
});
