import assert from "node:assert/strict";
import { test } from "node:test";
import type { Case, Dataset } from "../../src/data/cases.js";
import { type SplitRequest, splitCases } from "../../src/data/splits.js";

const entry = (id: string, labelled: boolean): Case => ({
  id,
  image: `${id}.nii`,
  ...(labelled && { label: `${id}_label.nii` }),
});
const dataset: Dataset = {
  layout: "list-file",
  root: "data",
  train: [entry("a1", false), entry("a2", true), entry("a3", true), entry("a4", true), entry("a5", false)],
  test: [entry("t1", true), entry("t2", true)],
};
const ids = (request: SplitRequest): Record<string, string[]> => {
  const { labelled, unlabelled, test: held } = splitCases(dataset, request);
  const names = (cases: readonly { id: string }[]): string[] => cases.map(({ id }) => id);
  return { labelled: names(labelled), unlabelled: names(unlabelled), test: names(held) };
};

test("the first labelled cases, then the next ones whether labelled or not", () => {
  assert.deepEqual(ids({ labelled: 2, unlabelled: 2, test: "all" }), {
    labelled: ["a2", "a3"],
    unlabelled: ["a1", "a4"],
    test: ["t1", "t2"],
  });
  assert.deepEqual(ids({ labelled: 1, unlabelled: "all", test: 1 }), {
    labelled: ["a2"],
    unlabelled: ["a1", "a3", "a4", "a5"],
    test: ["t1"],
  });
  assert.deepEqual(ids({ labelled: 3, unlabelled: 0, test: 0 }).unlabelled, []);
});

test("unlabelled cases carry no path to a label", () => {
  const { unlabelled } = splitCases(dataset, { labelled: 1, unlabelled: "all", test: 0 });
  assert.ok(unlabelled.every((found) => !("label" in found)));
});

test("ids keep their order, and training cases named for testing take no other part", () => {
  assert.deepEqual(ids({ labelled: ["a4", "a2"], unlabelled: "all", test: ["a3", "t2"] }), {
    labelled: ["a4", "a2"],
    unlabelled: ["a1", "a5"],
    test: ["a3", "t2"],
  });
  assert.deepEqual(ids({ labelled: 2, unlabelled: ["a2"], test: 0 }).labelled, ["a3", "a4"]);
});

test("requests that cannot be met", () => {
  const refused: readonly (readonly [SplitRequest, RegExp])[] = [
    [{ labelled: 4, unlabelled: 0, test: 0 }, /at most 3 for the number of labelled cases.*received 4/],
    [{ labelled: 2, unlabelled: 4, test: 0 }, /at most 3 for the number of unlabelled cases.*received 4/],
    [{ labelled: 1, unlabelled: 0, test: 3 }, /at most 2 for the number of test cases/],
    [{ labelled: -1, unlabelled: 0, test: 0 }, /number of labelled cases.*received -1/],
    [{ labelled: 1.5, unlabelled: 0, test: 0 }, /number of labelled cases.*received 1.5/],
    [{ labelled: ["a22"], unlabelled: 0, test: 0 }, /for a labelled case, received 'a22'; did you mean 'a2'/],
    [{ labelled: ["t1"], unlabelled: 0, test: 0 }, /for a labelled case, received 't1'/],
    [{ labelled: ["a1"], unlabelled: 0, test: 0 }, /a label file for the labelled case 'a1'/],
    [{ labelled: ["a2"], unlabelled: ["a2"], test: 0 }, /'a2' as labelled and as unlabelled/],
    [{ labelled: ["a2", "a2"], unlabelled: 0, test: 0 }, /'a2' as labelled and as labelled/],
    [{ labelled: ["a2"], unlabelled: 0, test: ["a2"] }, /'a2' as labelled and as test/],
  ];
  for (const [request, message] of refused) {
    assert.throws(() => splitCases(dataset, request), { name: "DataError", message });
  }
});
