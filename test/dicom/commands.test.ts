import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Grid } from "../../src/data/grid-match.js";
import { toFileOrder, voxelInFile } from "../../src/data/orientation.js";
import { type Affine, type Vec3, voxelCount } from "../../src/data/volume.js";
import { readGrid, writeLabels } from "../../src/data/volume-file.js";
import { loadLibrary } from "../../src/dicom/library.js";
import { sfr, sfrWithoutPackage } from "../cli/sfr.js";
import { temporaryFolder } from "../data/nifti-files.js";
import { dcmjsMissing } from "./library.js";
import { sliceBytes } from "./slice-bytes.js";

const FIXTURES = join(process.cwd(), "test/fixtures/dicom");

/** What is looked at of a segmentation. */
interface Segmentation {
  readonly Rows: number;
  readonly Columns: number;
  readonly NumberOfFrames: number;
  readonly PatientID: string;
  readonly PixelData: readonly [ArrayBuffer];
  readonly SegmentSequence: readonly {
    SegmentNumber: number;
    SegmentLabel: string;
    SegmentDescription: string;
  }[];
  readonly PerFrameFunctionalGroupsSequence: readonly {
    PlanePositionSequence: readonly [{ ImagePositionPatient: readonly number[] }];
    SegmentIdentificationSequence: readonly [{ ReferencedSegmentNumber: number }];
    DerivationImageSequence: readonly [
      { SourceImageSequence: readonly [{ ReferencedSOPInstanceUID: string }] },
    ];
  }[];
}

/** What is looked at of a slice of the series. */
interface SourceSlice {
  readonly SOPInstanceUID: string;
  readonly InstanceNumber: number;
  readonly ImagePositionPatient: readonly number[];
}

const parse = async (path: string): Promise<unknown> => {
  const { DicomMessage, DicomMetaDictionary } = await loadLibrary();
  const { dict } = DicomMessage.readFile(new Uint8Array(await readFile(path)).buffer);
  // Sequences of one item carry accessors; as plain data they are lists. Bytes stay.
  const { PixelData, ...named } = DicomMetaDictionary.naturalizeDataset(dict);
  return { ...JSON.parse(JSON.stringify(named)), PixelData };
};

it("without the package dcmjs: one sentence with the cure, and exit code 2", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "p01"));
  await writeFile(join(folder, "p01", "0.dcm"), sliceBytes());
  const out = ["--out", join(folder, "out")];
  for (const words of [
    ["dicom-import", join(folder, "p01"), ...out],
    ["dicom-export", join(folder, "p01.nii.gz"), "--series", folder, ...out],
  ]) {
    const { code, stdout, stderr } = await sfrWithoutPackage("dcmjs", ...words);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^sfr: dicom: expected the optional package dcmjs, received "Cannot find package 'dcmjs'"; run `npm install dcmjs@0\.51` where sfr is installed\n$/,
    );
  }
});

describe("sfr dicom-import and dicom-export", { skip: dcmjsMissing }, () => {
  it("series become volumes, labels segmentations that refer to their slices; what fails is told", async (t) => {
    const folder = await temporaryFolder(t);
    const at = (...parts: string[]): string => join(folder, ...parts);
    await cp(join(FIXTURES, "oblique"), at("scans", "p01"), { recursive: true });
    await mkdir(at("scans", "p02"));
    await writeFile(at("scans", "p02", "0.dcm"), sliceBytes({ syntax: "1.2.840.10008.1.2.5" }));
    const imported = await sfr("dicom-import", at("scans", "p01"), at("scans", "p02"), "--out", at("images"));
    assert.equal(imported.code, 4, imported.stderr);
    assert.match(
      imported.stderr,
      /^sfr: \S+p02\/0\.dcm: expected pixels that are not packed.*\(RLE\); [^\n]+\n$/,
    );
    assert.deepEqual(await readdir(at("images")), ["p01.nii.gz"]);

    const image = await readGrid(at("images", "p01.nii.gz"));
    // Two ids; the second in some slices only, so that frames are left out. Slices have 66 pixels: frames end within bytes.
    const count = voxelCount(image.shape);
    const data = Uint16Array.from({ length: count }, (_, i) =>
      i % 3 === 0 ? 7 : i > count / 2 && i % 5 === 0 ? 300 : 0,
    );
    await mkdir(at("labels"));
    await writeLabels(at("labels", "p01.nii.gz"), { ...image, data }, image);
    await writeLabels(at("labels", "p03.nii.gz"), { ...image, data }, image);
    await writeFile(at("labels", "labels.ctbl"), "# names\n7 left_atrium 128 174 128 255\n");
    const exported = await sfr(
      ...["dicom-export", at("labels", "p01.nii.gz"), at("labels", "p03.nii.gz")],
      ...["--series", at("scans"), "--out", at("seg"), "--json"],
    );
    assert.equal(exported.code, 4, exported.stderr);
    assert.match(
      exported.stderr,
      /^sfr: \S+p03: expected a folder of DICOM slices, received ENOENT; [^\n]+\n$/,
    );
    const written = at("seg", "p01.dcm");
    const frames = await compare(written, at("scans", "p01"), fileOrder(data, image), fileShape(image));
    assert.deepEqual(JSON.parse(exported.stdout), [{ written, segments: 2, frames }]);

    const words = ["--series", at("scans"), "--names", "300=scar", "--out", at("named")];
    await sfr("dicom-export", at("labels", "p01.nii.gz"), ...words);
    const { SegmentSequence } = (await parse(at("named", "p01.dcm"))) as Segmentation;
    assert.deepEqual(
      SegmentSequence.map(({ SegmentLabel }) => SegmentLabel),
      ["label 7", "scar"],
      "--names stands for the table",
    );
  });

  it("labels that cannot be a segmentation are refused in one line", async (t) => {
    const folder = await temporaryFolder(t);
    const scans = join(folder, "scans");
    await cp(join(FIXTURES, "oblique"), join(scans, "p01"), { recursive: true });
    await sfr("dicom-import", join(scans, "p01"), "--out", folder);
    const image = await readGrid(join(folder, "p01.nii.gz"));
    const data = new Uint8Array(voxelCount(image.shape));
    const elsewhere = {
      ...image,
      ...(image.grid && { grid: { ...image.grid, affine: moved(image.grid.affine), header: null } }),
    };
    for (const [labels, grid, message] of [
      [data, image, /received background everywhere/],
      [data.map(() => 1), elsewhere, /expected origin \([^)]+\) mm as the series in \S+p01 has, received/],
    ] as const) {
      const path = join(folder, "labels", "p01.nii.gz");
      await mkdir(join(folder, "labels"), { recursive: true });
      await writeLabels(path, { ...grid, data: labels }, grid);
      const { code, stderr } = await sfr(
        "dicom-export",
        path,
        "--series",
        scans,
        "--out",
        join(folder, "seg"),
      );
      assert.equal(code, 3, stderr);
      assert.match(stderr, message);
      assert.deepEqual(await readdir(join(folder, "seg")), []);
    }
    const words = ["dicom-export", "p01.nii.gz", "--series", scans, "--names", "1:liver", "--out", folder];
    assert.equal((await sfr(...words)).code, 2);
  });
});

const moved = (affine: Affine): Affine => affine.map(([a, b, c, d]) => [a, b, c, d + 1] as const);

const fileShape = ({ shape, grid }: Grid): Vec3 =>
  grid === undefined ? shape : toFileOrder(shape, grid.orientation);

/** Voxels in the order of slices, rows and columns. */
function fileOrder(data: Uint16Array, grid: Grid): Uint16Array {
  const [nx, ny] = fileShape(grid);
  const out = new Uint16Array(data.length);
  for (const [i, id] of data.entries()) {
    const [x, y, z] = voxelInFile(i, grid);
    out[x + nx * (y + ny * z)] = id;
  }
  return out;
}

/** Holds each frame against the labels of the slice that it refers to. @returns how many frames there must be */
async function compare(path: string, scan: string, labels: Uint16Array, [nx, ny, nz]: Vec3): Promise<number> {
  const found = (await parse(path)) as Segmentation;
  assert.deepEqual([found.Columns, found.Rows, found.PatientID], [nx, ny, "P1"]);
  assert.deepEqual(
    found.SegmentSequence.map(({ SegmentNumber, SegmentLabel }) => `${SegmentNumber} ${SegmentLabel}`),
    ["1 left atrium", "2 label 300"],
  );
  const names = (await readdir(scan)).filter((name) => name.endsWith(".dcm"));
  const slices = await Promise.all(names.map(async (name) => (await parse(join(scan, name))) as SourceSlice));
  slices.sort((a, b) => b.InstanceNumber - a.InstanceNumber);
  const bits = new Uint8Array(found.PixelData[0]);
  const area = nx * ny;
  const wanted = [7, 300].flatMap((id) =>
    Array.from({ length: nz }, (_, z) => ({ id, z, mask: labels.slice(z * area, (z + 1) * area) }))
      .map((frame) => ({ ...frame, mask: Array.from(frame.mask, (found) => (found === frame.id ? 1 : 0)) }))
      .filter(({ mask }) => mask.includes(1)),
  );
  assert.equal(found.NumberOfFrames, wanted.length);
  for (const [f, { id, z, mask }] of wanted.entries()) {
    const group = found.PerFrameFunctionalGroupsSequence[f];
    const source = group?.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID;
    assert.equal(source, slices[z]?.SOPInstanceUID, `frame ${f}`);
    const { ImagePositionPatient } = group?.PlanePositionSequence[0] ?? {};
    assert.deepEqual(ImagePositionPatient, slices[z]?.ImagePositionPatient);
    assert.equal(group?.SegmentIdentificationSequence[0].ReferencedSegmentNumber, id === 7 ? 1 : 2);
    const stored = mask.map((_, i) => ((bits[(f * area + i) >> 3] ?? 0) >> ((f * area + i) & 7)) & 1);
    assert.deepEqual(stored, mask, `frame ${f}`);
  }
  return wanted.length;
}
