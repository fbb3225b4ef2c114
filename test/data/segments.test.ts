import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { resolveConfig } from "../../src/config/load.js";
import { discoverLabels } from "../../src/data/load-case.js";
import { colorTable, namesInColorTable, type Segment, segmentsOf } from "../../src/data/segments.js";
import { readLabels, writeLabels } from "../../src/data/volume-file.js";
import { CaseStore } from "../../src/run/case-store.js";
import { writeColorTable } from "../../src/run/label-legend.js";
import { temporaryFolder } from "./nifti-files.js";

const HEADER = [
  ...["NRRD0004", "type: unsigned char", "dimension: 3", "sizes: 2 2 1", "encoding: raw"],
  ...["space: left-posterior-superior", "space directions: (1,0,0) (0,1,0) (0,0,1)"],
];
/** Lines as 3D Slicer writes them; the third segment has no colour, the fourth no whole number for an id. */
const SEGMENTS = [
  "Segment0_Color:=0.501961 0.682353 1",
  "Segment0_ID:=Segment_1",
  "Segment0_LabelValue:=7",
  "Segment0_Name:=linke Höhle",
  "Segment10_Color:=0 0.2 0",
  "Segment10_LabelValue:=3",
  "Segment10_Name:=wall \\\\ \\nshell",
  "Segment2_LabelValue:=4",
  "Segment2_Name:=no colour",
  "Segment3_LabelValue:=many",
  "Segment3_Name:=no id",
  "Segment3_Color:=0 0 0",
  "Segmentation_SourceRepresentation:=Binary labelmap",
];
const KNOWN: readonly Segment[] = [
  { id: 7, name: "linke Höhle", color: [128, 174, 255] },
  { id: 3, name: "wall \\ \nshell", color: [0, 51, 0] },
];

/** A label with the ids 0, 3, 7, 7. */
const labelFile = (lines: readonly string[]): string =>
  `${[...HEADER, ...lines].join("\n")}\n\n\u0000\u0003\u0007\u0007`;

test("names and colours of a .seg.nrrd are read, written into NRRD results and stay what they are", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "a.seg.nrrd");
  await writeFile(path, labelFile(SEGMENTS));
  const placed = await readLabels(path);
  assert.deepEqual(segmentsOf(placed.grid?.header), KNOWN);

  const result = join(folder, "b.nrrd");
  await writeLabels(result, placed, placed, [...KNOWN, { id: 9, name: "new", color: [1, 2, 3] }]);
  const again = (await readLabels(result)).grid?.header;
  assert.deepEqual(segmentsOf(again), [...KNOWN, { id: 9, name: "new", color: [1, 2, 3] }]);
  const text = (await readFile(result)).toString("utf8");
  assert.ok(!text.includes("Segmentation_Source"), "what was said of other segments is gone");
  assert.ok(text.includes("Segment0_Name:=linke Höhle\n"), "UTF-8, as it was");

  await writeLabels(result, placed, placed);
  assert.deepEqual(segmentsOf((await readLabels(result)).grid?.header), KNOWN);
});

test("a run takes them from its labels, under the names of dataset.json, and writes them beside its results", async (t) => {
  const root = await temporaryFolder(t);
  for (const folder of ["imagesTr", "labelsTr"]) await mkdir(join(root, folder));
  await writeFile(join(root, "imagesTr", "a_0000.nrrd"), labelFile([]));
  await writeFile(join(root, "labelsTr", "a.seg.nrrd"), labelFile(SEGMENTS));
  const about = { labels: { background: 0, cavity: 7 }, channel_names: { 0: "MRI" }, file_ending: ".nrrd" };
  await writeFile(join(root, "dataset.json"), JSON.stringify({ ...about, numTraining: 1 }));
  await writeFile(
    join(root, "config.yaml"),
    `name: a\ndata: { root: ${JSON.stringify(root)}, labelled: 1 }\npatch: [32, 32, 16]\narms: [{ method: self-training }]\n`,
  );
  await using store = await CaseStore.open(resolveConfig(join(root, "config.yaml")), () => {}, undefined);
  assert.deepEqual(store.labelNames, { 0: "background", 3: "wall \\ \nshell", 7: "cavity" });
  assert.deepEqual(store.labelColors, { 3: [0, 51, 0], 7: [128, 174, 255] });
  await writeColorTable(root, store);
  assert.equal(
    await readFile(join(root, "labels.ctbl"), "utf8"),
    "# Color table: id name red green blue opacity\n0 background 0 0 0 0\n" +
      "3 wall_\\_shell 0 51 0 255\n7 cavity 128 174 255 255\n",
  );
  await writeColorTable(root, { labelIds: [0, 2], labelNames: {}, labelColors: {} });
  const plain = await readFile(join(root, "labels.ctbl"), "utf8");
  assert.match(
    plain,
    /\n2 label_2 \d+ \d+ \d+ 255\n$/,
    "without a name by its id, in a colour of our pictures",
  );
});

test("of several labels the first word counts; a colour table has a line for each", async (t) => {
  const folder = await temporaryFolder(t);
  const cases = [];
  for (const [id, lines] of [
    ["a", SEGMENTS.slice(0, 4)],
    ["b", SEGMENTS.map((line) => line.replace("linke", "rechte"))],
  ] as const) {
    const label = join(folder, `${id}.seg.nrrd`);
    await writeFile(label, labelFile(lines));
    cases.push({ id, image: label, label });
  }
  const { table, segments } = await discoverLabels(cases);
  assert.deepEqual(table.ids, [0, 3, 7]);
  assert.deepEqual(segments, KNOWN);
  assert.equal(
    colorTable(segments),
    "# Color table: id name red green blue opacity\n0 background 0 0 0 0\n" +
      "7 linke_Höhle 128 174 255 255\n3 wall_\\_shell 0 51 0 255\n",
  );
  assert.deepEqual(
    namesInColorTable(colorTable(segments), "labels.ctbl"),
    new Map([
      [7, "linke Höhle"],
      [3, "wall \\ shell"],
    ]),
  );
  assert.throws(
    () => namesInColorTable("1 liver 0 0 0 255\r\nspleen\r\n", "labels.ctbl"),
    /^DataError: labels\.ctbl: expected .*received 'spleen'; mend the line$/,
  );
});
