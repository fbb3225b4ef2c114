import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Config, configSchema } from "../../src/config/schema.js";
import { planArms } from "../../src/run/plan.js";

function config(arms: readonly object[], checkpoint: string | null = null): Config {
  return configSchema.parse({
    name: "a",
    data: { root: "x", labelled: 1 },
    patch: [16, 16, 16],
    sam: { checkpoint },
    arms,
  });
}

const all = [
  { method: "labelled-only" },
  { method: "mean-teacher" },
  { method: "mean-teacher", pseudoLabels: "sam" },
  { method: "self-training", pseudoLabels: "sam" },
  { method: "sam" },
];

describe("planArms", () => {
  it("names arms by what they are, and says so when SAM started at random", () => {
    const names = (checkpoint: string | null) => planArms(config(all, checkpoint)).map(({ name }) => name);
    assert.deepEqual(names("w.pth"), [
      "V-Net, labelled only",
      "Mean Teacher",
      "SFR",
      "SFR self-training",
      "SAM alone",
    ]);
    assert.deepEqual(names(null), [
      "V-Net, labelled only",
      "Mean Teacher",
      "SFR (random SAM)",
      "SFR self-training (random SAM)",
      "SAM (random start)",
    ]);
    const [own] = planArms(config([{ name: "mine", method: "sam" }]));
    assert.equal(own?.name, "mine (random SAM)");
  });

  it("knows which arms need SAM", () => {
    assert.deepEqual(
      planArms(config(all)).map(({ folder, needsSam, usesPseudoLabels }) => [
        folder,
        needsSam,
        usesPseudoLabels,
      ]),
      [
        ["v-net-labelled-only", false, false],
        ["mean-teacher", false, false],
        ["sfr-random-sam", true, true],
        ["sfr-self-training-random-sam", true, true],
        ["sam-random-start", true, false],
      ],
    );
  });

  it("refuses arms that do not fit", () => {
    assert.throws(
      () => planArms(config([{ method: "labelled-only", pseudoLabels: "sam" }])),
      /arms\[0\]: .*received sam/,
    );
    assert.throws(() => planArms(config([{ method: "self-training" }])), /arms\[0\]: .*received none/);
    assert.throws(
      () => planArms(config([{ method: "mean-teacher" }, { method: "mean-teacher", name: "mean  TEACHER" }])),
      /arms: expected different arms, received 'Mean Teacher' as arms\[0\] and 'mean {2}TEACHER' as arms\[1\]/,
    );
  });
});
