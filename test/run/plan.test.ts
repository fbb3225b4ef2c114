import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Config, configSchema } from "../../src/config/schema.js";
import { planArms, requireUnlabelled } from "../../src/run/plan.js";

function config(arms: readonly object[], checkpoint: string | null = null, change: object = {}): Config {
  return configSchema.parse({
    name: "a",
    data: { root: "x", labelled: 1 },
    patch: [16, 16, 16],
    sam: { checkpoint },
    arms,
    ...change,
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

  it("wants a folder of natural images exactly where they are asked for, and slices that fit the canvas", () => {
    const plan = (change: object) => planArms(config([{ method: "sam" }], null, change));
    const natural = { disruption: "natural", naturalImages: "folder" };
    assert.equal(plan({ finetune: natural }).length, 1);
    for (const wrong of [
      { ...natural, disruption: "shuffled" },
      { ...natural, naturalImages: null },
    ])
      assert.throws(
        () => plan({ finetune: wrong }),
        /expected a folder with disruption natural and none without/,
      );
    const scaled = { input: "scale", scale: 12, canvas: 96 };
    assert.throws(() => plan({ sam: scaled }), /expected tiles of more than 8 pixels for scale, received 12/);
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

  it("begins SFR+ at the end of the SFR arm of its method", () => {
    const sfr = { method: "ua-mt", pseudoLabels: "sam" };
    const exchanges = [
      { method: "ua-mt", pseudoLabels: "exchange" },
      { method: "mean-teacher", pseudoLabels: "exchange" },
    ];
    const arms = planArms(config([...exchanges, ...all, sfr], "w.pth"));
    assert.deepEqual(
      arms.slice(0, 2).map(({ name, folder, needsSam, start }) => [name, folder, needsSam, start?.name]),
      [
        ["SFR+ UA-MT", "sfr-plus-ua-mt", true, "SFR UA-MT"],
        ["SFR+", "sfr-plus", true, "SFR"],
      ],
    );
    assert.ok(arms.slice(2).every(({ start }) => start === undefined));
    assert.throws(
      () => planArms(config([...all, ...exchanges])),
      /arms\[5\]: expected an arm to begin from for 'SFR\+ UA-MT.*add the arm \{method: ua-mt, pseudoLabels: sam\}/,
    );
    for (const method of ["sam", "labelled-only"])
      assert.throws(
        () => planArms(config([{ method, pseudoLabels: "exchange" }])),
        /arms\[0\]: .*received exchange/,
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

  it("asks a method about its batches, before anything runs", () => {
    const plan = (method: string, retrain: object) => () => planArms(config([{ method }], null, { retrain }));
    assert.throws(plan("ict", { unlabelledBatch: 3 }), /retrain\.unlabelledBatch: .* even .* received 3/);
    assert.throws(plan("bcp", { labelledBatch: 4 }), /retrain: .* received 4 and 2/);
    assert.throws(plan("bcp", { labelledBatch: 3, unlabelledBatch: 3 }), /retrain: .* received 3 and 3/);
    assert.doesNotThrow(plan("ict", { labelledBatch: 1 }));
    assert.doesNotThrow(plan("bcp", { labelledBatch: 4, unlabelledBatch: 4 }));
  });

  it("refuses sizes that do not fit together, before anything runs", () => {
    const plan = (method: string, change: object) => () => planArms(config([{ method }], null, change));
    const uneven = { patch: [50, 6, 32] };
    for (const method of ["labelled-only", "sam"]) assert.doesNotThrow(plan(method, uneven), "any patch");
    assert.throws(
      plan("magicnet", uneven),
      /^UsageError: patch: expected multiples of 16 voxels for magicnet's cubes, received 50 x 6 x 32; round it$/,
    );
    const unet3d = { segmenter: { model: "unet3d" } };
    assert.throws(
      plan("labelled-only", unet3d),
      /^UsageError: patch: expected at least 32 .*'3D U-Net, labelled only', received 16 x 16 x 16; double one$/,
    );
    // It is padded to 32.
    assert.doesNotThrow(plan("labelled-only", { ...unet3d, patch: [16, 17, 16] }));
    assert.throws(
      plan("labelled-only", { predict: { stride: [16, 17, 16] } }),
      /stride: expected at most the patch, 16 x 16 x 16 voxels, received 16 x 17 x 16/,
    );
    assert.doesNotThrow(plan("labelled-only", { predict: { stride: [16, 16, 1] } }));
    const small = { patch: [96, 64, 16], sam: { canvas: 64 } };
    assert.throws(plan("sam", small), /at most 64 x 64 pixels for patch, received 96 x 64/);
    assert.doesNotThrow(plan("labelled-only", small), "no canvas without SAM");
  });

  it("refuses arms that learn from unlabelled cases when there are none", () => {
    const none = { data: { root: "x", labelled: 1, unlabelled: 0 } };
    const message =
      /data\.unlabelled: expected at least one unlabelled case for 'Mean Teacher', received none/;
    const mixed = [{ method: "labelled-only" }, { method: "sam" }, { method: "mean-teacher" }];
    assert.throws(() => planArms(config(mixed, null, none)), message);
    assert.doesNotThrow(() => planArms(config(mixed.slice(0, 2), null, none)));
    const arms = planArms(config(mixed));
    assert.throws(() => requireUnlabelled(arms, 0), message);
    assert.doesNotThrow(() => requireUnlabelled(arms, 1));
  });
});
