import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { constants, deflateRawSync } from "node:zlib";
import { pixelBytes } from "../../src/dicom/slice-file.js";
import { type SliceLimits, SliceReader } from "../../src/dicom/slice-reader.js";
import { fuzz, type Reader } from "../data/fuzz.js";
import { temporaryFolder } from "../data/nifti-files.js";
import { dcmjsMissing } from "./library.js";
import { encode, HEAD_LENGTH, sliceBytes } from "./slice-bytes.js";

/** Enough for the process with dcmjs (about 100 MB) and small files, even on a busy machine. */
const limits: SliceLimits = { seconds: 1, bytes: 400 << 20 };
/** Beyond its own time a file can have to wait for a new process, which takes seconds on a busy machine. */
const milliseconds = 8000;

const reading =
  (reader: SliceReader): Reader =>
  async (path) => {
    const { elements, pixelsAt } = await reader.read(path);
    const promised = pixelBytes(elements);
    return { read: Math.min(promised, (await stat(path)).size - pixelsAt), promised };
  };

/** Elements before all others. */
const beginning = (...elements: Buffer[]): Buffer => {
  const bytes = sliceBytes();
  return Buffer.concat([bytes.subarray(0, HEAD_LENGTH), ...elements, bytes.subarray(HEAD_LENGTH)]);
};

/** 16 MB of zeros, deflated, so that further blocks can follow. */
const zeros = deflateRawSync(Buffer.alloc(16 << 20), { finishFlush: constants.Z_FULL_FLUSH });

/** Sequences in sequences, each without a length: dcmjs reads what lies within to its end at every level. */
const NESTED = ((): Buffer => {
  const open = [
    0x08, 0x00, 0x40, 0x11, 0x53, 0x51, 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0x00, 0xe0, 255, 255, 255, 255,
  ];
  const close = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
  const repeat = (bytes: readonly number[]) => Array.from({ length: 400 }, () => Buffer.from(bytes));
  const core = encode([0x0009, 0x1010, "OB", new Uint8Array(300_000)]);
  return beginning(...repeat(open), core, ...repeat(close));
})();

/** 1 GB in 1 MB, in array buffers. */
const PACKED = Buffer.concat([
  sliceBytes({ syntax: "1.2.840.10008.1.2.1.99" }).subarray(0, HEAD_LENGTH + 2),
  ...Array.from({ length: 64 }, () => zeros),
]);

/** Files that dcmjs would take seconds for, or gigabytes. */
const HOSTILE: readonly (readonly [string, Buffer])[] = [
  ["sequences in sequences", NESTED],
  ["1 GB in 1 MB", PACKED],
  // Of unknown type and more bytes than the file has: dcmjs takes zeros for the others.
  ["a list of 2 billion numbers", beginning(encode([0x0028, 0x0010, "UN", "xx"], 0xfffffff0))],
  ["a sequence of 4 GB of nothing", beginning(encode([0x0008, 0x1140, "UN", "xx"], 0xfffffff0))],
];

describe("damaged and hostile slices", { skip: dcmjsMissing }, () => {
  const reader = new SliceReader(limits);
  after(() => reader[Symbol.asyncDispose]());

  for (const name of ["oblique/a.dcm", "implicit-unsigned/a.dcm"]) {
    it(`${name}, damaged: a slice or an error of one line, quickly and in little memory`, async (t) => {
      const path = join(await temporaryFolder(t), "x.dcm");
      const bytes = await readFile(join(process.cwd(), "test/fixtures/dicom", name));
      const request = { path, head: bytes.length, rounds: 200, seed: 9, read: reading(reader), milliseconds };
      assert.deepEqual(await fuzz(bytes, request), []);
    });
  }

  it("a file cut short by a byte is refused: no zeros in the place of pixels", async (t) => {
    const path = join(await temporaryFolder(t), "x.dcm");
    await writeFile(path, sliceBytes().subarray(0, -1));
    await assert.rejects(reader.read(path), {
      message: /expected 24 bytes of pixels \(4 x 3, 16 bits\), received/,
    });
  });

  for (const [name, bytes] of HOSTILE) {
    it(`${name}: refused within its limits, and the next file is read`, async (t) => {
      const folder = await temporaryFolder(t);
      await writeFile(join(folder, "bad.dcm"), bytes);
      await writeFile(join(folder, "good.dcm"), sliceBytes());
      await assert.rejects(reader.read(join(folder, "bad.dcm")), {
        name: "DataError",
        message:
          /bad\.dcm: expected a DICOM file that is read in 1 s and 400 MB, received one that takes more; [^\n]+$/,
      });
      assert.equal((await reader.read(join(folder, "good.dcm"))).elements.Rows, 3);
    });
  }

  it("memory alone ends a file, however much time there is", async (t) => {
    await using patient = new SliceReader({ ...limits, seconds: 60 });
    const path = join(await temporaryFolder(t), "x.dcm");
    await writeFile(path, PACKED);
    await assert.rejects(patient.read(path), {
      message: /read in 60 s and 400 MB, received one that takes more/,
    });
  });

  it("the limits are what ends them: with more time, fuzzing finds the fault", async (t) => {
    await using patient = new SliceReader({ ...limits, seconds: 2 });
    const path = join(await temporaryFolder(t), "x.dcm");
    const request = { path, head: 100, rounds: 2, seed: 9, read: reading(patient), milliseconds: 1500 };
    assert.match((await fuzz(NESTED, request)).join(), /took too long/);
  });
});
