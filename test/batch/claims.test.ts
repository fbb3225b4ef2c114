import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Claims } from "../../src/batch/claims.js";

describe("Claims", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-claims-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** A claim file with this process's content, changed. */
  async function leave(name: string, change: object): Promise<void> {
    using claims = await Claims.open(join(folder, "sample"));
    const claim = await claims.take("x");
    const content = JSON.parse(await readFile(join(folder, "sample", "x.1"), "utf8")) as object;
    await claim?.release();
    await rm(join(folder, "sample"), { recursive: true });
    await writeFile(join(folder, name), JSON.stringify({ ...content, ...change }));
  }

  it("gives a name to one holder at a time, until it is released", async () => {
    using claims = await Claims.open(folder);
    const takes = await Promise.all(Array.from({ length: 20 }, () => claims.take("case.1")));
    const [first, ...more] = takes.filter((claim) => claim !== undefined);
    assert.deepEqual(more, []);
    assert.ok(await claims.take("case"), "another name is free");
    assert.equal(await claims.take("case.1"), undefined);
    await first?.release();
    assert.ok(await claims.take("case.1"));
    await first?.release();
    assert.equal(
      await claims.take("case.1"),
      undefined,
      "a second release takes the next holder's claim away",
    );
  });

  it("takes over from a process that has ended, and leaves nothing of both", async () => {
    const { pid } = spawnSync("true");
    await leave("case.4", { pid });
    using claims = await Claims.open(folder);
    const claim = await claims.take("case");
    assert.deepEqual((await readdir(folder)).sort(), ["case.4", "case.5"]);
    await claim?.release();
    assert.deepEqual(await readdir(folder), []);
  });

  it("sweeps up after the dead, and not what is held", async () => {
    const { pid } = spawnSync("true");
    await leave("done.1", { pid });
    await leave("far.1", { place: "another machine" });
    using claims = await Claims.open(folder);
    await claims.take("held");
    await claims.sweep();
    assert.deepEqual((await readdir(folder)).sort(), ["far.1", "held.1"]);
  });

  it("takes over from a process whose id was given to another", async () => {
    await leave("case.1", { started: "1" });
    using claims = await Claims.open(folder);
    assert.ok(await claims.take("case"));
  });

  it("takes over from another machine only what was not touched for two minutes of its own clock", async (t) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    await leave("case.1", { place: "another machine" });
    const path = join(folder, "case.1");
    using claims = await Claims.open(folder);
    const after = async (seconds: number): Promise<boolean> => {
      now += seconds * 1000;
      const claim = await claims.take("case");
      return claim !== undefined;
    };
    assert.equal(await after(0), false);
    assert.equal(await after(119), false);
    // Its clock may be wrong by years: only that the stamp moves counts.
    await utimes(path, new Date(0), new Date(1000));
    assert.equal(await after(10), false);
    assert.equal(await after(119), false);
    assert.equal(await after(2), true);
  });

  it("tells a holder that stood still that it was taken over", async () => {
    using claims = await Claims.open(folder);
    const claim = await claims.take("case");
    assert.equal(await claim?.isOurs(), true);
    await writeFile(join(folder, "case.2"), "{}");
    assert.equal(await claim?.isOurs(), false);
  });
});
