import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { withoutRuntime } from "./sessions.js";

const scratch = mkdtempSync(join(tmpdir(), "sfr-quiet-"));
after(() => rmSync(scratch, { recursive: true }));

/** What a program left behind or had open while ONNX Runtime was loaded. */
interface Traces {
  readonly files: string[];
  /** Count of those that were started. */
  readonly threads: number;
  readonly sockets: string[];
}

const seen = fileURLToPath(new URL("./traces.js", import.meta.url));

/** Whether a program can be run in a network of its own, without any card but the loopback. */
const isolates = spawnSync("unshare", ["-rn", "true"]).status === 0;

/**
 * Runs traces.js as a user does: no CI in the environment, which would keep ONNX Runtime silent by itself; a home of its
 * own; and no network.
 *
 * @param silenced whether the environment forbids reports from the start
 */
function tracesOf(words: readonly string[], silenced: boolean): Traces {
  const home = mkdtempSync(join(scratch, "home-"));
  const env = {
    ...{ PATH: process.env.PATH, HOME: home, TMPDIR: home },
    ...(silenced ? { ORT_DISABLE_TELEMETRY: "1" } : {}),
  };
  const [program = "", ...args] = [...(isolates ? ["unshare", "-rn"] : []), process.execPath, seen, ...words];
  const { status, stdout, stderr } = spawnSync(program, args, { env, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Traces;
}

describe("ONNX Runtime reports nothing to its maker", { skip: withoutRuntime }, () => {
  for (const way of ["c", "node"])
    it(`opened ${way === "c" ? "through its C interface" : "by onnxruntime-node in a worker"}`, () => {
      const traces = tracesOf(["sfr", way], false);
      assert.deepEqual([traces.files, traces.sockets], [[], []]);
      assert.equal(traces.threads, tracesOf(["sfr", way], true).threads);
    });

  // Only where nothing can get out.
  it("and would without this package: files and a thread", {
    skip: isolates ? false : "needs unshare",
  }, () => {
    const { files, threads } = tracesOf(["plain"], false);
    assert.notDeepEqual(files, []);
    assert.equal(threads, tracesOf(["plain"], true).threads + 1);
  });
});
