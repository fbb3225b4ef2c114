import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { crc32c, EventWriter } from "../../src/io/tensorboard.js";

describe("tensorboard events", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-events-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("has the published check values of CRC-32C", () => {
    assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
    // RFC 3720, B.4: 32 bytes of zeros, 32 of ones, 0 to 31.
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  });

  it("writes the bytes of the format", async () => {
    const writer = EventWriter.open(folder, { now: () => 1024, resumeAt: 300 });
    writer.scalar("loss", 0.5, 300);
    writer.close();
    writer.close();
    const time = "09" + "0000000000009040"; // field 1, double 1024
    const records = [
      `${time}1a0d${Buffer.from("brain.Event:2").toString("hex")}`,
      `${time}10ac023a020801`, // step 300; session_log { status: START }
      `${time}10ac022a0d0a0b0a046c6f7373150000003f`, // summary { value { tag, simple_value } }
    ];
    const bytes = await readFile(writer.path);
    let position = 0;
    for (const record of records) {
      const length = Number(bytes.readBigUInt64LE(position));
      assert.equal(bytes.toString("hex", position + 12, position + 12 + length), record);
      for (const [start, end] of [
        [position, position + 8],
        [position + 12, position + 12 + length],
      ] as const) {
        const crc = BigInt(crc32c(bytes.subarray(start, end)));
        const masked = BigInt.asUintN(32, ((crc >> 15n) | (crc << 17n)) & 0xffffffffn) + 0xa282ead8n;
        assert.equal(BigInt(bytes.readUInt32LE(end)), masked & 0xffffffffn);
      }
      position += 16 + length;
    }
    assert.equal(position, bytes.length);
  });

  it("begins a new file each time, in the order of names, and leaves older ones alone", async () => {
    const inner = join(folder, "made/when/missing");
    const first = EventWriter.open(inner, { now: () => 5 });
    first.scalar("a", 1, 0);
    first.flush();
    const before = await readFile(first.path);
    const second = EventWriter.open(inner, { now: () => 5 });
    const third = EventWriter.open(inner, { now: () => 1e9 });
    for (const writer of [second, third]) {
      writer.scalar("a", 2, 1);
      writer.close();
    }
    const names = (await readdir(inner)).sort().map((name) => join(inner, name));
    assert.deepEqual(names, [first.path, second.path, third.path]);
    assert.deepEqual(await readFile(first.path), before);
    first.close();
  });
});
