import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Points of the curves by tag, in the order of the files. */
export type Curves = Record<string, [step: number, value: number][]>;

/** One field of a protobuf message: a number (varint, float, double) or bytes. */
type Field = readonly [number: number, value: number | Buffer];

/**
 * Curves of a TensorBoard folder as TensorBoard shows them: files in the order of their names, and where a later start
 * says at which step it goes on (a session log), what older files have from that step on is dropped. Times are left out.
 */
export async function readCurves(folder: string): Promise<Curves> {
  const curves: Curves = {};
  for (const name of (await readdir(folder)).sort()) {
    for (const record of records(await readFile(join(folder, name)))) addEvent(curves, record);
  }
  return curves;
}

/** Message Event: step is field 2, a summary field 5, a session log field 7. */
function addEvent(curves: Curves, record: Buffer): void {
  const event = new Map(fields(record));
  const step = Number(event.get(2) ?? 0);
  if (event.has(7)) {
    for (const [tag, points] of Object.entries(curves)) curves[tag] = points.filter(([at]) => at < step);
  }
  const summary = event.get(5);
  if (!Buffer.isBuffer(summary)) return;
  for (const [, entry] of fields(summary)) {
    const value = new Map(fields(entry as Buffer));
    const tag = String(value.get(1));
    curves[tag] = [...(curves[tag] ?? []), [step, Number(value.get(2))]];
  }
}

/** Data of the records; one that a kill cut off ends the file. */
function* records(bytes: Buffer): Iterable<Buffer> {
  for (let at = 0; at + 12 <= bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    if (at + 16 + length > bytes.length) return;
    yield bytes.subarray(at + 12, at + 12 + length);
    at += 16 + length;
  }
}

function* fields(message: Buffer): Iterable<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message.readUInt8(at);
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const field = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield [field, varint()];
        break;
      case 1:
        yield [field, message.readDoubleLE(at)];
        at += 8;
        break;
      case 5:
        yield [field, message.readFloatLE(at)];
        at += 4;
        break;
      default: {
        const length = varint();
        yield [field, message.subarray(at, at + length)];
        at += length;
      }
    }
  }
}
