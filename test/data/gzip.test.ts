import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { gzip } from "../../src/data/gzip.js";
import { RandomStream } from "../../src/graph/random.js";

async function packed(pieces: readonly Uint8Array[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of gzip(pieces)) parts.push(part);
  return Buffer.concat(parts);
}

const random = new RandomStream(5, 0, "gzip");
const noise = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => random.integer(256));

/** Nothing, less than a piece, bytes that cannot be packed, and more pieces than are packed at a time. */
const CONTENTS: readonly (readonly Uint8Array[])[] = [
  [],
  [new Uint8Array(0), Uint8Array.of(7)],
  [noise(300_000), new Uint8Array(1 << 20)],
  Array.from({ length: 11 }, (_, i) => (i % 2 === 0 ? noise(1 + 9973 * i) : new Uint8Array(70_000).fill(i))),
];

test("packed pieces are one gzip member with the bytes and their checksum, the same on every call", async () => {
  for (const pieces of CONTENTS) {
    const bytes = await packed(pieces);
    // Checks the checksum and the size, and that nothing follows the member.
    assert.deepEqual(gunzipSync(bytes), Buffer.concat(pieces));
    assert.deepEqual(await packed(pieces), bytes);
  }
});

test("an error of the source comes through while pieces are packed", async () => {
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 3; i++) yield noise(100_000);
    throw new Error("no more");
  };
  await assert.rejects(async () => {
    for await (const part of gzip(failing())) assert.ok(part.length > 0);
  }, /no more/);
});
