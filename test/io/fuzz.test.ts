/**
 * Mutated weights files: whatever a file holds, a reader gives tensors that fit into a few times its size, or throws
 * DataError, at once. Mutations depend on (seed, file, round) alone, so that a failure can be repeated by its name.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import { RandomStream } from "../../src/graph/random.js";
import { elementCount, type HostTensor } from "../../src/io/host-tensor.js";
import { ZipArchive } from "../../src/io/pth/zip.js";
import { writeSafetensors } from "../../src/io/safetensors.js";
import { readWeights } from "../../src/io/weights-file.js";
import { zipOf } from "./hand-made-pth.js";

const seed = 1;
/** Mutants of each file; together they take about four seconds. */
const rounds = 800;
/** A reader of such small files needs milliseconds of CPU; a quarter of a second is far beyond noise. */
const mostMilliseconds = 250;

/** Bytes, and texts of JSON and pickle, that mean much to a reader. */
const words: readonly Buffer[] = [
  ...[0, 1, 0x7f, 0x80, 0xff].map((byte) => Buffer.from([byte])),
  ...[0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0].map((value) =>
    Buffer.from(Uint32Array.of(value).buffer),
  ),
  ...[2n ** 63n, 2n ** 64n - 1n, 2n ** 53n, 2n ** 40n].map((value) =>
    Buffer.from(BigUint64Array.of(value).buffer),
  ),
  ...[
    "constructor",
    "__proto__",
    "toString",
    "-1",
    "1e999",
    "9007199254740993",
    "null",
    "[[[[",
    "{}",
    '"',
    "\\",
    ",",
  ],
  ...[
    "}".repeat(40),
    "(".repeat(40),
    "0",
    "1.",
    "s.",
    "cos\nsystem\n",
    "(lp0\n",
    "R",
    "b",
    "Q",
    "\x8a\xff",
    "PK\x05\x06",
  ],
].map((word) => (typeof word === "string" ? Buffer.from(word, "latin1") : word));

/** One to four changes: a bit, a byte, a word put over or between, a part cut out, repeated or moved. */
function mutate(bytes: Buffer, stream: RandomStream): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let change = stream.integer(4); change >= 0; change -= 1) {
    const at = stream.integer(result.length + 1);
    const length = stream.integer(1 + Math.min(64, result.length - at));
    const word = words[stream.integer(words.length)] ?? Buffer.of(0);
    const [before, part, rest] = [
      result.subarray(0, at),
      result.subarray(at, at + length),
      result.subarray(at + length),
    ];
    const elsewhere = stream.integer(result.length + 1);
    result =
      [
        () => flipped(result, at, stream.integer(8)),
        () => Buffer.concat([before, word, result.subarray(Math.min(at + word.length, result.length))]),
        () => Buffer.concat([before, word, part, rest]),
        () => Buffer.concat([before, rest]),
        () => Buffer.concat([before, part, part, rest]),
        () => Buffer.concat([result.subarray(0, elsewhere), part, result.subarray(elsewhere)]),
        () => Buffer.from(before),
      ][stream.integer(7)]?.() ?? result;
  }
  return result;
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const result = Buffer.from(bytes);
  if (at < result.length) result[at] = (result[at] ?? 0) ^ (1 << bit);
  return result;
}

/** Values that a JSON header may hold in place of a right one. */
const values = [
  ...[
    '"constructor"',
    '"__proto__"',
    '"F16"',
    '"I64"',
    '""',
    "-1",
    "0",
    "1.5",
    "1e999",
    "4",
    "9007199254740993",
  ],
  ...["null", "true", "{}", "[]", "[[]]", '{"a":1}', `${"[".repeat(20_000)}${"]".repeat(20_000)}`],
];

/** Puts another value, or another text of the header, in the place of one. */
function mutateHeader(header: Buffer, stream: RandomStream): Buffer {
  const tokens = [...header.toString().matchAll(/"[^"]*"|\d+|\[[^[\]]*\]/g)];
  const { 0: token = "", index = 0 } = tokens[stream.integer(tokens.length)] ?? {};
  const others = [...values, ...tokens.map(([text]) => text)];
  const other = others[stream.integer(others.length)] ?? "";
  return Buffer.concat([
    header.subarray(0, index),
    Buffer.from(other),
    header.subarray(index + Buffer.byteLength(token)),
  ]);
}

describe("mutated weights files", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-fuzz-"));
  });
  after(() => rm(folder, { recursive: true }));

  /** Reads a mutant. @returns whether it was read */
  async function readMutant(path: string, bytes: Buffer, what: string): Promise<boolean> {
    await writeFile(path, bytes);
    const start = process.cpuUsage();
    let tensors: ReadonlyMap<string, HostTensor>;
    try {
      tensors = await readWeights(path);
    } catch (error) {
      assert.ok(
        error instanceof DataError,
        `${what}: ${error instanceof Error ? error.stack : String(error)}`,
      );
      return false;
    } finally {
      // Of this process: others may hold the machine for longer.
      const { user, system } = process.cpuUsage(start);
      const milliseconds = (user + system) / 1000;
      assert.ok(milliseconds < mostMilliseconds, `${what}: ${milliseconds} ms`);
    }
    let total = 0;
    for (const [name, { shape, data }] of tensors) {
      assert.equal(data.length, elementCount(shape), `${what}: ${name}`);
      total += data.byteLength;
    }
    assert.ok(total <= 4 * bytes.length + 2 ** 20, `${what}: ${total} bytes of a file of ${bytes.length}`);
    return true;
  }

  /** Reads `rounds` mutants, some of which must still be readable and most of which must not. */
  async function fuzz(
    extension: string,
    make: (stream: RandomStream) => Buffer,
    name: string,
  ): Promise<void> {
    const path = join(folder, `mutant${extension}`);
    let read = 0;
    for (let round = 0; round < rounds; round += 1)
      if (await readMutant(path, make(new RandomStream(seed, round, name)), `${name}, round ${round}`))
        read += 1;
    assert.ok(read > 0 && read < rounds / 2, `${read} of ${rounds} were read`);
  }

  for (const name of ["pth-state-dict", "pth-checkpoint"])
    it(`${name}.pth, any byte`, async () => {
      const bytes = await readFile(join("test", "fixtures", `${name}.pth`));
      await fuzz(".pth", (stream) => mutate(bytes, stream), name);
    });

  it("the pickle of a .pth whose checksums are right", async () => {
    await using archive = await ZipArchive.open(join("test", "fixtures", "pth-state-dict.pth"));
    const pickle = Buffer.from(await archive.read("data.pkl"));
    const storages: (string | Buffer)[] = [];
    for (let key = 0; archive.size(`data/${key}`) !== undefined; key += 1)
      storages.push(`a/data/${key}`, Buffer.from(await archive.read(`data/${key}`)));
    await fuzz(".pth", (stream) => zipOf("a/data.pkl", mutate(pickle, stream), ...storages), "pickle");
  });

  it("safetensors, header and length", async () => {
    const path = join(folder, "plain.safetensors");
    const tensor = (shape: number[]): HostTensor => ({
      dtype: "f32",
      shape,
      data: new Float32Array(elementCount(shape)),
    });
    await writeSafetensors(
      path,
      new Map([
        ["a", tensor([2, 3])],
        ["b", tensor([])],
        ["c", tensor([0, 4])],
      ]),
      {
        note: "text",
      },
    );
    const bytes = await readFile(path);
    const end = 8 + Number(bytes.readBigUInt64LE(0));
    await fuzz(
      ".safetensors",
      (stream) => {
        const change = stream.integer(2) === 0 ? mutate : mutateHeader;
        const text = change(bytes.subarray(8, end), stream);
        const length = Buffer.from(BigUint64Array.of(BigInt(text.length)).buffer);
        // One in four has a wrong length as well.
        const head = stream.integer(4) === 0 ? mutate(length, stream) : length;
        return Buffer.concat([head, text, bytes.subarray(end)]);
      },
      "safetensors",
    );
  });
});
