import { writeFile } from "node:fs/promises";
import { DataError } from "../../src/errors.js";
import { RandomStream } from "../../src/graph/random.js";

/** Reads a file to the end. @returns the number of voxels that were read and that the shape promises */
export type Reader = (path: string) => Promise<{ read: number; promised: number }>;

/** What fuzzing is allowed to take. */
const LIMITS = { milliseconds: 2000, bytes: 64 << 20 };

/** Numbers that headers are damaged with: limits of integers, and what C readers trip over. */
const EXTREMES = [
  "0",
  "-1",
  "2147483647",
  "-2147483648",
  "9223372036854775807",
  "1e308",
  "NaN",
  "inf",
  "",
  "%s",
  "constructor",
];

/**
 * Damages the first `head` bytes of a file in `rounds` ways (seeded) and reads each. A reader may return whole volumes or
 * throw DataErrors of one line; anything else is a fault, as is taking long or much memory.
 *
 * @returns what went wrong, with the round to repeat
 */
export async function fuzz(
  bytes: Buffer,
  request: { path: string; head: number; rounds: number; seed: number; read: Reader; milliseconds?: number },
): Promise<string[]> {
  const { milliseconds = LIMITS.milliseconds } = request;
  const faults: string[] = [];
  for (let round = 0; round < request.rounds; round++) {
    const random = new RandomStream(request.seed, round, "fuzz");
    await writeFile(request.path, damage(bytes, request.head, random));
    const before = { time: performance.now(), memory: process.memoryUsage() };
    const fault = await request.read(request.path).then(
      ({ read, promised }) => (read === promised ? undefined : `${read} of ${promised} voxels`),
      (error: unknown) =>
        isProper(error) ? undefined : String(error instanceof Error ? error.stack : error),
    );
    const { arrayBuffers, external } = process.memoryUsage();
    const grown = Math.max(arrayBuffers - before.memory.arrayBuffers, external - before.memory.external);
    if (fault !== undefined) faults.push(`round ${round}: ${fault}`);
    if (performance.now() - before.time > milliseconds) faults.push(`round ${round}: took too long`);
    if (grown > LIMITS.bytes) faults.push(`round ${round}: took ${grown} bytes`);
  }
  return faults;
}

function isProper(error: unknown): boolean {
  return (
    error instanceof DataError && /: expected [^\n]+$/.test(error.message) && !error.message.includes("\n")
  );
}

function damage(bytes: Buffer, head: number, random: RandomStream): Buffer {
  let out: Buffer = Buffer.from(bytes);
  const place = (): number => random.integer(Math.min(head, out.length));
  for (let changes = 1 + random.integer(4); changes > 0 && out.length > 0; changes--) {
    const at = place();
    switch (random.integer(7)) {
      case 0:
        out[at] = random.integer(256);
        break;
      case 1:
        out[at] = (out[at] ?? 0) ^ (1 << random.integer(8));
        break;
      case 2: // A binary field becomes extreme.
        out.fill(
          [0, 0xff, 0x7f, 0x80][random.integer(4)] ?? 0,
          at,
          Math.min(out.length, at + 2 ** random.integer(4)),
        );
        break;
      case 3: // A number in text becomes extreme.
        out = replaceNumber(out, at, EXTREMES[random.integer(EXTREMES.length)] ?? "");
        break;
      case 4: // A line is doubled, or lost.
        out = Buffer.concat([
          out.subarray(0, at),
          out.subarray(random.integer(2) === 0 ? Math.max(0, at - 20) : at + 20),
        ]);
        break;
      case 5:
        out = Buffer.concat([
          out.subarray(0, at),
          Buffer.from(EXTREMES[random.integer(EXTREMES.length)] ?? ""),
          out.subarray(at),
        ]);
        break;
      default:
        out = out.subarray(0, random.integer(out.length + 1));
    }
  }
  return out;
}

/** Replaces the first number in text at or after a place. */
function replaceNumber(bytes: Buffer, from: number, by: string): Buffer {
  const text = bytes.toString("latin1");
  const found = /-?\d+(\.\d+)?/.exec(text.slice(from));
  if (!found) return bytes;
  const at = from + found.index;
  return Buffer.from(text.slice(0, at) + by + text.slice(at + found[0].length), "latin1");
}
