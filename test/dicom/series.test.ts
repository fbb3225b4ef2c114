import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { LPS } from "../../src/data/formats/text-header.js";
import { volumeEntries } from "../../src/data/layouts/layout.js";
import { toFileAffine, voxelInFile } from "../../src/data/orientation.js";
import type { ImageVolume } from "../../src/data/volume.js";
import { openSeries, readSeries } from "../../src/dicom/series.js";
import { SliceReader } from "../../src/dicom/slice-reader.js";
import { temporaryFolder } from "../data/nifti-files.js";
import { dcmjsMissing } from "./library.js";
import { type SliceChanges, sliceBytes } from "./slice-bytes.js";

const FIXTURES = join(process.cwd(), "test/fixtures/dicom");

/** What SimpleITK says of a fixture, and the values that pydicom wrote: test/oracle/dicom.py. */
interface Expected {
  readonly size: readonly number[];
  readonly origin: readonly number[];
  readonly spacing: readonly number[];
  /** By rows. */
  readonly direction: readonly number[];
  /** [z][y][x]. */
  readonly values: readonly number[];
}

describe("a DICOM series", { skip: dcmjsMissing }, () => {
  const reader = new SliceReader();
  after(() => reader[Symbol.asyncDispose]());
  const read = async (folder: string): Promise<ImageVolume> => readSeries(await openSeries(folder, reader));

  /** Writes a slice for each change into a folder of this name, 2.5 mm apart where the change says no position. */
  const series = async (t: TestContext, changes: readonly SliceChanges[]): Promise<string> => {
    const folder = join(await temporaryFolder(t), "p01");
    await mkdir(folder);
    for (const [i, change] of changes.entries()) {
      const placed = {
        ImagePositionPatient: `-10\\5\\${30 + 2.5 * i}`,
        SOPInstanceUID: `1.2.3.${i}`,
        ...change,
      };
      await writeFile(join(folder, `${i}.dcm`), sliceBytes(placed));
    }
    return folder;
  };

  for (const name of ["oblique", "implicit-unsigned"]) {
    it(`${name}: lies where SimpleITK has it, with the values that pydicom wrote`, async () => {
      const expected: Expected = JSON.parse(await readFile(join(FIXTURES, `${name}.json`), "utf8"));
      const volume = await read(join(FIXTURES, name));
      const { grid, shape, data } = volume;
      assert.ok(grid);
      const affine = toFileAffine(grid.affine, grid.orientation, shape);
      for (const row of [0, 1, 2] as const) {
        const columns = [0, 1, 2].map(
          (column) => (expected.direction[3 * row + column] ?? 0) * (expected.spacing[column] ?? 0),
        );
        for (const [column, value] of [...columns, expected.origin[row] ?? 0].entries()) {
          const found = (affine[row]?.[column] ?? Number.NaN) * LPS[row];
          // Places are written with six decimals.
          assert.ok(Math.abs(found - value) < 2e-6, `${row}, ${column}: ${found} for ${value}`);
        }
      }
      const [nx = 0, ny = 0] = expected.size;
      for (const [i, value] of data.entries()) {
        const [x, y, z] = voxelInFile(i, volume);
        assert.equal(value, Math.fround(expected.values[x + nx * (y + ny * z)] ?? Number.NaN), `voxel ${i}`);
      }
    });
  }

  it("gives each slice its own slope and intercept, and takes the stored bits alone", async (t) => {
    const twelveBits = { BitsStored: 12, HighBit: 11, PixelData: new Uint8Array(24).fill(0xff) };
    const folder = await series(t, [
      { RescaleSlope: "0.5", RescaleIntercept: "-1000", ...twelveBits },
      { RescaleSlope: "2", RescaleIntercept: "3", ...twelveBits, PixelRepresentation: 1 },
      { RescaleSlope: null, RescaleIntercept: null, PixelData: new Uint8Array(24).fill(0xff) },
    ]);
    const { data } = await read(folder);
    assert.deepEqual([...new Set(data)], [4095 * 0.5 - 1000, -1 * 2 + 3, 65535]);
  });

  it("is sorted by place, and other files in its folder are passed over", async (t) => {
    const folder = await series(
      t,
      [60, 30, 45].map((z) => ({ ImagePositionPatient: `0\\0\\${z}` })),
    );
    await writeFile(join(folder, "notes.txt"), "no slice");
    await mkdir(join(folder, "more"));
    const { stack } = await openSeries(folder, reader);
    assert.deepEqual(
      stack.slices.map(({ name }) => name),
      ["1.dcm", "2.dcm", "0.dcm"],
    );
  });

  /** The third slice of a series, and what is said of it. */
  const refused: readonly (readonly [string, SliceChanges, RegExp])[] = [
    ["another series", { SeriesInstanceUID: "1.2.9" }, /of one series, received 0\.dcm and 2\.dcm/],
    ["another size", { Rows: 4, PixelData: new Uint8Array(32) }, /of one size/],
    ["another direction", { ImageOrientationPatient: "0\\1\\0\\-1\\0\\0" }, /of one direction/],
    ["a place twice", { ImagePositionPatient: "-10\\5\\32.5" }, /1\.dcm and 2\.dcm at the same/],
    ["a missing slice", { ImagePositionPatient: "-10\\5\\37.5" }, /received 5 mm between 1\.dcm and 2\.dcm/],
    ["gantry tilt", { ImagePositionPatient: "-10\\7\\35" }, /leans over by 2 mm \(gantry tilt\)/],
    ["JPEG", { syntax: "1.2.840.10008.1.2.4.70" }, /2\.dcm: .*1\.2\.4\.70 \(JPEG\); unpack the series first/],
    ["JPEG 2000", { syntax: "1.2.840.10008.1.2.4.90" }, /1\.2\.4\.90 \(JPEG 2000\)/],
    ["JPEG-LS", { syntax: "1.2.840.10008.1.2.4.80" }, /1\.2\.4\.80 \(JPEG-LS\)/],
    ["HTJ2K", { syntax: "1.2.840.10008.1.2.4.201" }, /1\.2\.4\.201 \(HTJ2K\)/],
    ["RLE", { syntax: "1.2.840.10008.1.2.5" }, /1\.2\.5 \(RLE\)/],
    ["big-endian", { syntax: "1.2.840.10008.1.2.2" }, /1\.2\.2 \(Big Endian\)/],
    ["colours", { PhotometricInterpretation: "RGB", SamplesPerPixel: 3 }, /received 3 for SamplesPerPixel/],
    ["inverted grays", { PhotometricInterpretation: "MONOCHROME1" }, /"MONOCHROME1" for Photometric/],
    ["several frames", { NumberOfFrames: "40" }, /received 40 for NumberOfFrames/],
    ["no place", { ImagePositionPatient: null }, /received none for ImagePositionPatient/],
    ["no spacing", { PixelSpacing: "0\\0.7" }, /received \[0,0\.7\] for PixelSpacing/],
    ["upper bits", { BitsStored: 12, HighBit: 15 }, /received HighBit 15 with 12 of 16 bits/],
    [
      "too few pixels",
      { Rows: 65535, Columns: 65535 },
      /expected 8589672450 bytes of pixels \(65535 x 65535/,
    ],
    ["a slope without end", { RescaleSlope: "1e308" }, /2\.dcm: expected finite numbers/],
  ];
  for (const [name, change, message] of refused) {
    it(`is refused in one line: ${name}`, async (t) => {
      const folder = await series(t, [{}, {}, change]);
      await assert.rejects(read(folder), (error: Error) => {
        assert.equal(error.name, "DataError");
        assert.match(error.message, /: expected [^\n]+; [^\n]+$/);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

it("slices where volumes are expected: the error names the command", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "0.dcm"), sliceBytes());
  await assert.rejects(volumeEntries(folder), {
    message: /received '0\.dcm'; import .* by `sfr dicom-import`$/,
  });
});

it("a folder without DICOM files is refused", async (t) => {
  await using reader = new SliceReader();
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "read-me.txt"), "hello");
  await assert.rejects(openSeries(folder, reader), {
    name: "DataError",
    message: /received none among 1 files/,
  });
  await assert.rejects(openSeries(join(folder, "none"), reader), {
    name: "DataError",
    message: /received ENOENT/,
  });
});
