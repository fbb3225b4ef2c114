import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseFlag, resolveConfig } from "../../src/config/load.js";
import { type Setting, settings } from "../../src/config/settings.js";
import { UsageError } from "../../src/errors.js";

const good = `name: a
data:
  root: x
  labelled: 2
patch: [16, 16, 16]
arms:
  - method: labelled-only
`;

function setting(path: string): Setting {
  const found = settings.find((item) => item.path === path);
  assert.ok(found, path);
  return found;
}

describe("resolveConfig", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sfr-config-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const write = (text: string): string => {
    const path = join(folder, "c.yaml");
    writeFileSync(path, text);
    return path;
  };
  const refuses = (text: string, message: RegExp, overrides = {}): void => {
    assert.throws(
      () => resolveConfig(write(text), overrides),
      (error) => error instanceof UsageError && message.test(error.message),
      String(message),
    );
  };

  it("fills in defaults", () => {
    const config = resolveConfig(write(good));
    assert.equal(config.finetune.steps, 6000);
    assert.equal(config.sam.checkpoint, null);
    assert.equal(config.pseudoLabels, "per-crop");
    assert.deepEqual(config.arms, [{ method: "labelled-only", pseudoLabels: "none", rounds: 0 }]);
  });

  it("makes the canvas of a single small slice from the patch", () => {
    const path = write(good.replace("16, 16, 16", "50, 64, 16"));
    const flags = (input: string) => ({ "sam.input": input, "sam.canvas": "512" });
    assert.equal(resolveConfig(path, flags("small-size")).sam.canvas, 64);
    assert.equal(resolveConfig(path, flags("upsample")).sam.canvas, 512);
  });

  it("lets flags override the file, as text", () => {
    const config = resolveConfig(write(good), {
      "finetune.steps": "7",
      "retrain.learningRate": "1e-3",
      "data.unlabelled": "p1,p2",
      "data.test": "3",
      "data.halve": true,
      "data.relabel": "4:1,9:ignore",
      "preprocess.window": "-175,250",
      "preprocess.spacing": "median",
      "predict.stride": "4,5,6",
      "sam.checkpoint": "w.pth",
      "sam.targets": "q,mlp",
      patch: "32x32x16",
    });
    assert.equal(config.finetune.steps, 7);
    assert.equal(config.retrain.learningRate, 1e-3);
    assert.deepEqual(config.data, {
      root: "x",
      layout: "auto",
      frame: null,
      labelled: 2,
      unlabelled: ["p1", "p2"],
      test: 3,
      relabel: { 4: 1, 9: "ignore" },
      halve: true,
      samChannel: 0,
    });
    assert.deepEqual(config.preprocess.window, [-175, 250]);
    assert.equal(config.preprocess.spacing, "median");
    assert.deepEqual(config.predict.stride, [4, 5, 6]);
    assert.equal(config.sam.checkpoint, "w.pth");
    assert.deepEqual(config.sam.targets, ["q", "mlp"]);
    assert.deepEqual(config.patch, [32, 32, 16]);
  });

  it("names file, line and nearest key of an unknown key, even when the right one is missing", () => {
    refuses(
      good.replace("labelled:", "labeled:"),
      /c\.yaml:4: .*unknown key 'labeled'; did you mean 'labelled'\?$/,
    );
    refuses(`${good}retrian:\n  steps: 3\n`, /c\.yaml:8: .*unknown key 'retrian'; did you mean 'retrain'\?$/);
    refuses(
      `${good}    pseudoLabel: sam\n`,
      /c\.yaml:8: .* in arms\[0\], .*'pseudoLabel'; did you mean 'pseudoLabels'\?$/,
    );
  });

  it("names key, expected and received of a wrong value", () => {
    refuses(`${good}seed: -1\n`, /c\.yaml:8: expected integer >= 0 for seed, received -1; /);
    refuses(
      `${good}sam:\n  rank: 65\n`,
      /c\.yaml:9: expected integer >= 1, <= 64 for sam\.rank, received 65; /,
    );
    refuses(
      `${good}sam:\n  targets: [q, w]\n`,
      /c\.yaml:9: expected list of q, k, v, proj, mlp for sam\.targets, received \["q","w"\]; /,
    );
    refuses(
      good.replace("16]", "x]"),
      /c\.yaml:5: expected three integers .* for patch, received \[16,16,"x"\]; /,
    );
    refuses(
      good.replace("labelled-only", "mean-techer"),
      /c\.yaml:7: .* arms\[0\]\.method, .* 'mean-teacher'\?$/,
    );
    refuses(
      good.replace("2", "0"),
      /c\.yaml:4: expected integer >= 1, list of ids for data\.labelled, received 0; /,
    );
    refuses(good.replace("  root: x\n", ""), /expected text for data\.root, received nothing; .* --data$/);
    refuses("- a\n", /expected object for the file, received \["a"\]; /);
    refuses("a: b: c\n", /c\.yaml:1: expected YAML, received /);
  });

  it("names the flag of a wrong value that a flag gave", () => {
    refuses(good, /^--finetune-steps: expected integer >= 0 for finetune\.steps, received "abc"; /, {
      "finetune.steps": "abc",
    });
    refuses(good, /^--patch: expected three integers/, { patch: "16,16" });
    refuses(good, /^--seed: .* received \["1","2"\]; /, { seed: ["1", "2"] });
  });

  it("refuses a file that is not there", () => {
    assert.throws(
      () => resolveConfig(join(folder, "none.yaml")),
      /none\.yaml: .*received ENOENT; check the path$/,
    );
  });
});

describe("settings", () => {
  it("gives every setting a flag of its own, help and a range", () => {
    assert.equal(new Set(settings.map(({ flag }) => flag)).size, settings.length);
    for (const { path, help, range } of settings) {
      assert.notEqual(help, "", path);
      assert.notEqual(range, "", path);
    }
  });

  it("reads null only where it is a value", () => {
    assert.equal(parseFlag(setting("sam.checkpoint"), "null"), null);
    assert.equal(parseFlag(setting("data.root"), "null"), "null");
    assert.deepEqual(
      parseFlag(setting("data.labelled"), "all"),
      ["all"],
      "labelled has no word `all`: an id",
    );
    assert.equal(parseFlag(setting("data.test"), "all"), "all");
    assert.equal(parseFlag(setting("finetune.steps"), ""), "", "no number; the check refuses it");
  });
});
