import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crc32, deflateSync } from "node:zlib";
import { DataError } from "../../src/errors.js";
import { decodePng, encodePng } from "../../src/io/png.js";

/** A PNG from its header fields and filtered rows, written here by hand. */
function png(head: readonly number[], rows: readonly number[], extra: [string, Buffer][] = []): Buffer {
  const chunk = (type: string, content: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), content]);
    const result = Buffer.alloc(8 + body.length);
    result.writeUInt32BE(content.length, 0);
    body.copy(result, 4);
    result.writeUInt32BE(crc32(body), 4 + body.length);
    return result;
  };
  const [width = 0, height = 0, ...rest] = head;
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(width, 0);
  ihdr.writeUInt32BE(height, 4);
  ihdr.set(rest, 8);
  const data = deflateSync(Buffer.from(rows));
  return Buffer.concat([
    Buffer.from("\u0089PNG\r\n\u001a\n", "latin1"),
    chunk("IHDR", ihdr),
    ...extra.map(([type, content]) => chunk(type, content)),
    chunk("IDAT", data.subarray(0, 5)),
    chunk("IDAT", data.subarray(5)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("png", () => {
  it("decodes rows of each filter to values worked out by hand", () => {
    // Second row of every picture: 15 18 60 below 10 20 40.
    const second = { 0: [15, 18, 60], 1: [15, 3, 42], 2: [5, 254, 20], 3: [10, 1, 31], 4: [5, 254, 20] };
    for (const [filter, row] of Object.entries(second)) {
      const picture = decodePng(png([3, 2, 8, 0, 0, 0, 0], [0, 10, 20, 40, Number(filter), ...row]));
      assert.deepEqual([...picture.pixels], [10, 20, 40, 15, 18, 60], `filter ${filter}`);
    }
    // Left and corner equally near (6 and 10 to 6 + 12 - 10): left is taken.
    const tie = decodePng(png([2, 2, 8, 0, 0, 0, 0], [0, 10, 12, 4, 252, 5]));
    assert.deepEqual([...tie.pixels], [10, 12, 6, 11]);
    // Paeth's three choices: corner (100 - 100), left and up, in RGB with the neighbour three bytes away.
    const rgb = decodePng(png([2, 2, 8, 2, 0, 0, 0], [0, 50, 9, 9, 10, 200, 9, 4, 5, 191, 0, 60, 0, 50]));
    assert.deepEqual([...rgb.pixels.subarray(6)], [55, 200, 9, 70, 200, 59]);
  });

  it("returns what was encoded, for sizes from 1 on and contents that prefer each filter", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed >> 16;
    };
    for (const channels of [1, 3] as const) {
      for (const [width, height] of [
        [1, 1],
        [1, 7],
        [13, 1],
        [31, 17],
        [64, 64],
      ] as const) {
        for (const content of ["noise", "ramp", "columns", "constant", "smooth"]) {
          const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => {
            const x = Math.floor(i / channels) % width;
            const y = Math.floor(i / channels / width);
            const smooth = 100 + 60 * Math.sin(x / 9) + 50 * Math.cos(y / 7 + x / 20);
            return { noise: random(), ramp: 3 * x, columns: x * x * 7, constant: 9, smooth }[content] ?? 0;
          });
          const bytes = encodePng(pixels, width, height, channels);
          assert.deepEqual({ ...decodePng(bytes) }, { pixels, width, height, channels }, content);
          assert.ok(bytes.equals(encodePng(pixels, width, height, channels)));
        }
      }
    }
    // A smooth picture must gain from the filters; measured without them: 1.8 times as much.
    const smooth = Uint8Array.from({ length: 256 * 256 }, (_, i) => {
      const [x, y] = [i & 255, i >> 8];
      return 128 + 70 * Math.sin(x / 31 + y / 43) + 50 * Math.cos((x * y) / 4000);
    });
    assert.ok(encodePng(smooth, 256, 256, 1).length < 0.7 * deflateSync(smooth).length);
  });

  it("refuses what it does not read, by name, and anything cut off or changed", () => {
    const refuses = (bytes: Uint8Array, pattern: RegExp) =>
      assert.throws(
        () => decodePng(bytes, "a.png"),
        (error) => error instanceof DataError && pattern.test(error.message) && /a\.png/.test(error.message),
      );
    refuses(png([1, 1, 16, 0, 0, 0, 0], [0, 1, 1]), /16 bits/);
    refuses(png([1, 1, 8, 6, 0, 0, 0], [0, 1, 1, 1, 1]), /colour type 6/);
    refuses(png([1, 1, 8, 0, 0, 0, 1], [0, 1]), /interlace/);
    refuses(png([1, 1, 8, 0, 0, 0, 0], [5, 1]), /row filters/);
    refuses(png([2, 1, 8, 0, 0, 0, 0], [0, 1]), /3 bytes of rows/);
    refuses(png([1, 1, 8, 0, 0, 0, 0], [0, ...Array<number>(5000).fill(1)]), /2 bytes of compressed rows/);
    refuses(png([70000, 70000, 8, 0, 0, 0, 0], [0]), /pixels/);
    refuses(png([1, 1, 8, 0, 0, 0, 0], [0, 1], [["ABCD", Buffer.alloc(2)]]), /known chunks/);
    assert.deepEqual(
      [...decodePng(png([1, 1, 8, 0, 0, 0, 0], [0, 1], [["tEXt", Buffer.from("a")]])).pixels],
      [1],
    );
    refuses(Buffer.from("GIF89a.."), /signature/);
    const whole = encodePng(new Uint8Array(64).fill(7), 8, 8, 1);
    for (let length = 0; length < whole.length; length += 1) {
      refuses(whole.subarray(0, length), /png/);
      const changed = Buffer.from(whole);
      changed[length] = (changed[length] ?? 0) ^ 0x10;
      refuses(changed, /png/);
    }
    assert.throws(() => encodePng(new Uint8Array(5), 2, 2, 1), DataError);
  });
});
