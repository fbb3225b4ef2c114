import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { z } from "zod";
import { roundTrip } from "../../src/data/check/round-trip.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { version } from "../../src/version.js";
import { temporaryFolder } from "./nifti-files.js";
import { compareWithTruth } from "./truth.js";
import { writtenFiles } from "./written-files.js";

const FIXTURES = join(process.cwd(), "test/fixtures/volumes");

test("NRRD, MetaImage and NumPy files read as SimpleITK and NumPy read them, in RAS+", async () => {
  assert.equal(await compareWithTruth(FIXTURES), 34);
});

test("a .npz holds a label too; a pickled array is refused, not run", async () => {
  const image = await readImage(join(FIXTURES, "c_order.npz"));
  const label = await readLabels(join(FIXTURES, "fortran_big.npz"));
  assert.deepEqual(label.shape, image.shape);
  assert.deepEqual(
    label.data,
    Uint8Array.from(image.data, (value) => (Math.abs(value) > 0.5 ? 1 : 0)),
  );
  await assert.rejects(readImage(join(FIXTURES, "pickled.npz")), {
    name: "DataError",
    message: /integers or floats in 'image\.npy', received '\|O'/,
  });
  await assert.rejects(readLabels(join(FIXTURES, "spacing.npz")), {
    name: "DataError",
    message: /expected an array 'label', received image/,
  });
});

/** SHA-256 of files that SimpleITK and nibabel have read rightly (test/oracle/judge_volumes.py). */
const judgedSchema = z.record(z.string(), z.string());

test("what we write is what SimpleITK and nibabel have judged", async (t) => {
  const folder = await temporaryFolder(t);
  await writtenFiles(FIXTURES, folder);
  const judged = judgedSchema.parse(JSON.parse(await readFile(join(FIXTURES, "judged.json"), "utf8")));
  assert.equal(Object.keys(judged).length, 15);
  for (const [name, hash] of Object.entries(judged)) {
    assert.equal(hashOf(name, await readFile(join(folder, name))), hash, name);
  }
});

/** Of the unpacked bytes without our version. */
function hashOf(name: string, bytes: Buffer): string {
  const headEnd = name.endsWith(".nrrd") ? bytes.indexOf("\n\n") + 2 : 0;
  const content = name.endsWith(".mha")
    ? bytes
    : Buffer.concat([bytes.subarray(0, headEnd), gunzipSync(bytes.subarray(headEnd))]);
  const text = content.toString("latin1").replace(`sfr ${version}`, "");
  return createHash("sha256").update(text, "latin1").digest("hex");
}

test("results keep the header lines of their image, and lie where it lies", async (t) => {
  const folder = await temporaryFolder(t);
  for (const [name, kept] of [
    [
      "hand_ras_big.nrrd",
      [
        "space: right-anterior-superior",
        "space directions: (0,0.9,0) (0,0,-1.1) (2.5,0,0)",
        "key:=value: other",
      ],
    ],
    ["i2.mha", ["CenterOfRotation = 0 0 0", "AnatomicalOrientation"]],
  ] as const) {
    const image = await readImage(join(FIXTURES, name));
    const labels = { ...image, data: Uint16Array.from(image.data, (_, i) => 100 * i) };
    const path = join(folder, name);
    await writeLabels(path, labels, image);
    const text = (await readFile(path)).toString("latin1");
    for (const line of kept) assert.ok(text.includes(line), `${name}: ${line}`);
    const again = await readLabels(path);
    assert.deepEqual(again.data, labels.data, name);
    assert.deepEqual([again.grid?.affine, again.spacing], [image.grid?.affine, image.spacing], name);
    await writeImage(path, image);
    assert.deepEqual((await readImage(path)).data, image.data, name);
  }
});

test("header lines of other alphabets come back byte for byte, UTF-8 or Latin-1", async (t) => {
  const folder = await temporaryFolder(t);
  for (const encoding of ["utf8", "latin1"] as const) {
    for (const [name, text, line] of [
      ["a.nrrd", `${nrrd(...base, "spacings: 1 1 1", "organ:=Größe")}1234`, "organ:=Größe\n"],
      ["a.mha", mha("ElementSpacing = 1 1 1", "Organ = Größe", ...meta).concat("1234"), "Organ = Größe\n"],
    ] as const) {
      const path = join(folder, name);
      await writeFile(path, text, encoding);
      const image = await readImage(path);
      await writeImage(path, image);
      assert.ok((await readFile(path)).includes(Buffer.from(line, encoding)), `${name}, ${encoding}`);
      assert.deepEqual(await roundTrip(path, "image", null), []);
    }
  }
});

test("voxels beside their header may begin like a gzip file", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "v.raw"), Buffer.of(0x1f, 0x8b, 8, 0));
  await writeFile(join(folder, "a.nhdr"), nrrd(...base, "data file: v.raw"));
  await writeFile(join(folder, "a.mhd"), mha(...meta).replace("LOCAL", "v.raw"));
  for (const name of ["a.nhdr", "a.mhd"]) {
    assert.deepEqual([...(await readImage(join(folder, name))).data], [0x8b1f - 0x10000, 8], name);
  }
});

const nrrd = (...lines: string[]): string => `NRRD0005\n${lines.join("\n")}\n\n`;
const mha = (...lines: string[]): string => `${lines.join("\n")}\n`;
const base = ["type: short", "dimension: 3", "sizes: 2 1 1", "encoding: raw", "endian: little"];
const without = (name: string): string[] => base.filter((line) => !line.startsWith(name));
const meta = ["NDims = 3", "DimSize = 2 1 1", "ElementType = MET_SHORT", "ElementDataFile = LOCAL"];

/** Damaged or unsupported headers, and what the one-line error must say. */
const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ["a.nrrd", "NRRD9999\n", /an NRRD file, received "NRRD9999"/],
  ["a.nrrd", nrrd(...without("type")), /a field 'type', received none/],
  ["a.nrrd", nrrd("type: block", ...without("type")), /received type 'block'/],
  ["a.nrrd", nrrd("type: constructor", ...without("type")), /received type 'constructor'/],
  ["a.nrrd", nrrd("encoding: bzip2", ...without("encoding")), /raw or gzip for 'encoding', received 'bzip2'/],
  ["a.nrrd", nrrd("endian: middle", ...without("endian")), /little or big for 'endian', received 'middle'/],
  ["a.nrrd", nrrd(...without("sizes"), "sizes: 2 1"), /3 numbers for 'sizes', received '2 1'/],
  ["a.nrrd", nrrd("type: short", "dimension: 4", "sizes: 3 2 1 1"), /received 4 axes \(3 x 2 x 1 x 1\)/],
  ["a.nrrd", nrrd(...base, "space directions: none (1,0,0) (0,1,0)"), /some without direction/],
  ["a.nrrd", nrrd(...base, "space directions: (1,0,0) (0,1,0)"), /3 vectors in parentheses/],
  [
    "a.nrrd",
    nrrd(...base, "space directions: (1,0,0) (0,1,0) (1,1,0)"),
    /three axes of some length in different/,
  ],
  [
    "a.nrrd",
    nrrd(...base, "data file: ../b.raw"),
    /a file beside the header for its voxels, received '\.\.\/b\.raw'/,
  ],
  ["a.nrrd", nrrd(...base, "data file: none.raw"), /nothing at this path/],
  ["a.nrrd", nrrd(...base, "byte skip: -1"), /a small whole number for 'byte skip', received -1/],
  [
    "a.nrrd",
    nrrd(...without("sizes"), "sizes: 99999 99999 99999"),
    /expected 999970000299999 voxels.*received fewer/,
  ],
  ["a.nrrd", nrrd(...without("sizes"), "sizes: 999999 999999 999999"), /that fits into memory/],
  ["a.nrrd", nrrd(...base), /expected 2 voxels.*received fewer/],
  ["a.nrrd", `${nrrd(...base)}123456`, /expected 2 voxels.*received more/],
  ["a.nrrd", `${nrrd("encoding: gzip", ...without("encoding"))}12345`, /damaged gzip data|end too early/],
  ["a.mha", "hello", /MetaImage lines 'key = value' up to ElementDataFile, received "hello"/],
  ["a.mha", mha(...meta.slice(0, 3)), /received the end of the file/],
  ["a.mha", mha("ElementNumberOfChannels = 3", ...meta), /with 3 numbers per voxel/],
  ["a.mha", mha("BinaryData = False", ...meta), /received voxels as text/],
  ["a.mha", mha("BinaryData = perhaps", ...meta), /True or False for 'BinaryData', received 'perhaps'/],
  ["a.mha", mha(...meta).replace("MET_SHORT", "MET_STRING"), /ElementType 'MET_STRING'/],
  ["a.mha", mha(...meta).replace("LOCAL", "/etc/passwd"), /a file beside the header/],
  ["a.mha", mha(...meta).replace("LOCAL", "LIST"), /nothing at this path/],
  ["a.mha", mha("ElementSpacing = 1 0 1", ...meta), /three axes of some length/],
  ["a.mha", mha("ElementSpacing = 1 x 1", ...meta), /3 numbers for 'ElementSpacing', received '1 x 1'/],
  ["a.mha", mha("HeaderSize = -2", ...meta).replace("LOCAL", "a.raw"), /-1 or a number of bytes/],
  ["a.mha", mha(...meta), /expected 2 voxels.*received fewer/],
  ["a.npz", "no zip", /expected a readable \.npz file/],
];

test("refused in one line: damaged and unsupported files", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "folder.npz"));
  for (const [name, content, message] of REFUSED) {
    const path = join(folder, name);
    await writeFile(path, content, "latin1");
    await assert.rejects(readImage(path), (error: Error) => {
      assert.equal(error.name, "DataError", `${message}: ${error.stack}`);
      assert.ok(error.message.includes(": expected ") && !error.message.includes("\n"), error.message);
      assert.match(error.message, message);
      return true;
    });
  }
});
