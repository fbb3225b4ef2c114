import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { resolveConfig } from "../../src/config/load.js";
import { resultGrid, workingGrid } from "../../src/data/case-geometry.js";
import { openDataset } from "../../src/data/cases.js";
import { gridDifference } from "../../src/data/grid-match.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { presets } from "../../src/data/presets.js";
import type { ImageVolume, LabelVolume, Vec3 } from "../../src/data/volume.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";
import { RestoringSink } from "../../src/predict/restoring-sink.js";
import { CaseStore, disposeCase } from "../../src/run/case-store.js";
import { sfr } from "../cli/sfr.js";
import { temporaryFolder } from "./nifti-files.js";

/** A public download in small: where its files lie, what is in them, and what comes of it. */
interface LookAlike {
  /** Image and label of each case, `#` for its number. */
  readonly files: readonly (readonly [image: string, label: string, number: string])[];
  /** Label ids in the place of the phantoms' 1 and 2. */
  readonly ids: readonly [number, number];
  /** Intensities from the phantoms', whose air is 0 and whose tissue is 600. */
  intensity(value: number): number;
  readonly labelIds: readonly number[];
  readonly names: Readonly<Record<string, string>>;
  /** Training and test cases of these. */
  readonly split: readonly [train: number, test: number];
}

const ct = (value: number): number => (value < 350 ? -1000 : value - 560);
const numbers = (count: number, digits: number): string[] =>
  Array.from({ length: count }, (_, i) => String(i + 1).padStart(digits, "0"));

const lookAlikes: Readonly<Record<string, LookAlike>> = {
  la: {
    files: numbers(5, 3).map((n) => ["Training Set/ID#X/lgemri.nrrd", "Training Set/ID#X/laendo.nrrd", n]),
    ids: [255, 255],
    intensity: (value) => Math.max(0, value),
    labelIds: [0, 255],
    names: { 0: "background", 255: "left atrium" },
    split: [4, 1],
  },
  brats: {
    files: numbers(4, 3).map((n) => {
      const id = `${n < "003" ? "HGG" : "LGG"}/BraTS19_CBICA_#_1/BraTS19_CBICA_#_1`;
      return [`${id}_flair.nii.gz`, `${id}_seg.nii.gz`, n];
    }),
    ids: [2, 4],
    // Outside the brain all is 0.
    intensity: (value) => (value < 350 ? 0 : value),
    labelIds: [0, 1],
    names: { 0: "background", 1: "necrotic and non-enhancing core + oedema + enhancing tumour" },
    split: [3, 1],
  },
  btcv: {
    files: numbers(5, 4).map((n) => [
      "RawData/Training/img/img#.nii.gz",
      "RawData/Training/label/label#.nii.gz",
      n,
    ]),
    ids: [6, 13],
    intensity: ct,
    labelIds: [0, 6, 13],
    names: { 6: "liver", 13: "left adrenal gland" },
    split: [3, 2],
  },
  mact: {
    files: numbers(6, 4).map((n) =>
      n < "0004"
        ? ["RawData/Testing/img/img#.nii.gz", "label_btcv_multiorgan/label#.nii.gz", n]
        : ["Pancreas-CT/PANCREAS_#.nii.gz", "label_tcia_multiorgan/label#.nii.gz", n],
    ),
    // Of the aorta only one collection has labels.
    ids: [14, 8],
    intensity: ct,
    labelIds: [0, 14],
    names: { 1: "spleen", 14: "duodenum" },
    split: [5, 1],
  },
  "abdomenct-1k": {
    files: numbers(10, 5).map((n) => [
      `AbdomenCT-1K-ImagePart${n < "00006" ? 1 : 2}/Case_#_0000.nii.gz`,
      "Mask/Case_#.nii.gz",
      n,
    ]),
    ids: [1, 4],
    intensity: ct,
    labelIds: [0, 1, 4],
    names: { 0: "background", 1: "liver", 2: "kidney", 3: "spleen", 4: "pancreas" },
    split: [9, 1],
  },
};

async function plant(root: string, { files, ids, intensity }: LookAlike): Promise<void> {
  for (const [index, [imageName, labelName, number]] of files.entries()) {
    const shape: Vec3 = [26 + (index % 3), 24, 24];
    const { image, label } = generatePhantom(index, 1, shape);
    const [imagePath, labelPath] = [imageName, labelName].map((name) =>
      join(root, name.replaceAll("#", number)),
    );
    assert.ok(imagePath !== undefined && labelPath !== undefined);
    for (const path of [imagePath, labelPath]) await mkdir(dirname(path), { recursive: true });
    const seen: ImageVolume = { ...image, data: image.data.map(intensity) };
    const renamed: LabelVolume = { ...label, data: label.data.map((k) => (k === 0 ? 0 : (ids[k - 1] ?? 0))) };
    await writeImage(imagePath, seen);
    await writeLabels(labelPath, renamed, image);
  }
}

assert.deepEqual(
  Object.keys(lookAlikes),
  presets.map(({ name }) => name),
);

for (const preset of presets) {
  test(`${preset.name}: found, divided, prepared, and brought back to the files' grids`, async (t) => {
    const root = await temporaryFolder(t);
    const lookAlike = lookAlikes[preset.name];
    assert.ok(lookAlike);
    await plant(root, lookAlike);
    const dataset = await openDataset(root);
    assert.equal(dataset.layout, preset.layout);
    assert.deepEqual([dataset.train.length, dataset.test.length], lookAlike.split);
    const out = join(root, "config.yaml");
    const { code, stdout, stderr } = await sfr("init", root, "--out", out);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^preset +${preset.name}$`, "m"));
    const config = resolveConfig(out);
    assert.deepEqual(config.patch, preset.settings.patch);
    assert.equal(config.data.labelled, Math.min(preset.labelled, dataset.train.length));
    const store = await CaseStore.open(config, () => {}, undefined);
    assert.deepEqual(store.labelIds, lookAlike.labelIds);
    for (const [id, name] of Object.entries(lookAlike.names)) assert.equal(store.labelNames[id], name);
    assert.equal(store.plan.spacing === null, preset.settings.preprocess?.spacing === undefined);
    for (const entry of [...store.split.labelled, ...store.split.test]) await checkRoundTrip(store, entry);
  });
}

/** What is seen of a case is as the plan says; a network that is right gives its label back, on its grid. */
async function checkRoundTrip(store: CaseStore, entry: Parameters<CaseStore["load"]>[0]): Promise<void> {
  const { plan, classes } = store;
  const prepared = await store.prepare(entry, true);
  const { channels, label } = await store.load(entry);
  const [image] = channels;
  assert.ok(image);
  const { geometry } = prepared;
  const [depth = 0, height = 0, width = 0] = prepared.image.shape;
  assert.deepEqual([width, height, depth], geometry.shape);
  assert.ok(plan.minimumSlices === null || depth >= plan.minimumSlices);
  const working = workingGrid(geometry);
  for (const axis of [0, 1] as const) {
    const step = plan.spacing?.[axis] ?? image.spacing?.[axis] ?? 0;
    // Extents are whole voxels, 10 at least.
    assert.ok(Math.abs((working.spacing?.[axis] ?? 0) / step - 1) < 0.05);
  }
  if (plan.cropAbove !== null) assert.ok(geometry.crop.shape[0] < image.shape[0]);
  const sink = new RestoringSink(geometry, classes, "none");
  const oneHot = new Float32Array(width * height * depth * classes);
  for (const [i, k] of (prepared.label?.u8 ?? []).entries()) oneHot[i * classes + k] = 1;
  for (let z = 0; z < depth; z++)
    for (let y = 0; y < height; y++) sink.row(z, y, new Uint8Array(0), oneHot, (z * height + y) * width);
  using result = sink.result;
  let [both, either] = [0, 0];
  for (const [i, k] of label.data.entries()) {
    if (k === 0 && result.labels.u8[i] === 0) continue;
    either++;
    if (k === result.labels.u8[i]) both++;
  }
  // Bodies of some ten voxels across lose little of their surfaces by interpolation, and all of it by a shift.
  assert.ok(both / either > 0.85, `${entry.id}: ${both} of ${either}`);
  assert.equal(gridDifference(resultGrid(geometry), image), null);
  disposeCase(prepared);
}

test("lists decide the parts; without them the ids alone do", async (t) => {
  const root = await temporaryFolder(t);
  const cases = numbers(10, 5);
  await mkdir(join(root, "Mask"));
  await mkdir(join(root, "AbdomenCT-1K-ImagePart1"));
  await mkdir(join(root, "splits"));
  for (const n of cases) {
    await writeFile(join(root, "AbdomenCT-1K-ImagePart1", `Case_${n}_0000.nii.gz`), "");
    await writeFile(join(root, "Mask", `Case_${n}.nii.gz`), "");
  }
  const idsOf = async () => {
    const { train, test: held } = await openDataset(root);
    return [train.map(({ id }) => id), held.map(({ id }) => id)];
  };
  // By sha256sum of the ids.
  assert.deepEqual((await idsOf())[1], ["Case_00004"]);
  await writeFile(join(root, "splits", "train.list"), "Case_00002\nCase_00001\n");
  await writeFile(join(root, "splits", "test.list"), "Case_00009\n");
  assert.deepEqual(await idsOf(), [["Case_00002", "Case_00001"], ["Case_00009"]]);
  await writeFile(join(root, "splits", "test.list"), "Case_0009\n");
  await assert.rejects(idsOf(), {
    name: "DataError",
    message: /test\.list:1: expected the id of a case, received 'Case_0009'; did you mean 'Case_00009'/,
  });
});

test("MACT: a label without its image is refused, but for the withdrawn one", async (t) => {
  const root = await temporaryFolder(t);
  for (const name of ["label_tcia_multiorgan", "Pancreas-CT"]) await mkdir(join(root, name));
  for (const n of ["0001", "0025"])
    await writeFile(join(root, "label_tcia_multiorgan", `label${n}.nii.gz`), "");
  await writeFile(join(root, "Pancreas-CT", "PANCREAS_0001.nii.gz"), "");
  assert.deepEqual(
    (await openDataset(root)).train.map(({ id }) => id),
    ["tcia_0001"],
  );
  await writeFile(join(root, "label_tcia_multiorgan", "label0002.nii.gz"), "");
  await assert.rejects(
    openDataset(root),
    /label0002.*: expected its image PANCREAS_0002\.nii\.gz .* received none/,
  );
});
