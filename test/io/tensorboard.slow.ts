import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { EventWriter } from "../../src/io/tensorboard.js";

const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
`;

it("TensorBoard's own reader sees our curves, without duplicates after a kill", async (context) => {
  const python = process.env.PYTHON ?? "python3";
  if (spawnSync(python, ["-c", "import tensorboard"]).status !== 0) {
    context.skip(`no tensorboard in ${python}; set PYTHON to an environment that has it`);
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "sfr-events-"));
  try {
    const first = EventWriter.open(folder, { now: () => 1_700_000_000 });
    for (let step = 0; step < 200; step += 1) {
      first.scalar("loss/total", 1 / (step + 1), step);
      first.scalar("learning rate", 0.01, step);
    }
    first.close();
    // A kill in the middle of a record; the last checkpoint was at step 150.
    await truncate(first.path, (await stat(first.path)).size - 5);
    const second = EventWriter.open(folder, { now: () => 1_700_000_100, resumeAt: 150 });
    for (let step = 150; step < 300; step += 1) {
      second.scalar("loss/total", 2 / (step + 1), step);
    }
    second.close();
    const result = spawnSync(python, ["-c", script, folder], { encoding: "utf8" });
    assert.equal(result.status, 0, result.stderr);
    const curves = JSON.parse(result.stdout) as Record<string, [number, number][]>;
    assert.deepEqual(Object.keys(curves).sort(), ["learning rate", "loss/total"]);
    assert.deepEqual(
      curves["loss/total"],
      Array.from({ length: 300 }, (_, step) => [step, Math.fround((step < 150 ? 1 : 2) / (step + 1))]),
    );
    assert.equal(curves["learning rate"]?.length, 150);
  } finally {
    await rm(folder, { recursive: true });
  }
});
