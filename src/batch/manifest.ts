import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../errors.js";
import { jsonOf } from "../io/tensor-file.js";

const seconds = z.number().min(0);

const recordSchema = z.object({
  id: z.string(),
  /** Path of the image. */
  image: z.string(),
  /** SHA-256 of what decides the result beside the image: weights and settings. */
  work: z.string(),
  /** The image's file as it was read; null when it could not be. */
  source: z.object({ sha256: z.string(), bytes: z.int(), modified: z.number() }).nullable(),
  status: z.enum(["done", "failed"]),
  /** Why it failed. */
  error: z.string().optional(),
  /** Path of the label file, relative to the folder of the results. */
  labels: z.string().optional(),
  /** Mean over all voxels of the largest class probability (C of SFR+), and over those labelled as foreground. */
  confidence: z.number().optional(),
  foregroundConfidence: z.number().nullable().optional(),
  /** Volume by label id, mm3; without a spacing in voxels. */
  volumes: z.record(z.string(), z.number()).optional(),
  volumeUnit: z.enum(["mm3", "voxel"]).optional(),
  /** Times of its parts; they overlap with those of other cases. */
  seconds: z.object({ read: seconds, label: seconds, write: seconds }).optional(),
  /** Machine and process. */
  worker: z.string(),
  /** ISO 8601, UTC. */
  finished: z.string(),
});

/** What became of one case. */
export type BatchRecord = z.infer<typeof recordSchema>;

/**
 * The record of a batch: JSON lines in `<machine>.jsonl` files of a folder, one file per machine, since only processes
 * of one machine can add to the same file without cutting each other's lines. Lines are only ever added, each forced to
 * the disk; of a case the latest counts.
 */
export class Manifest implements AsyncDisposable {
  private readonly records = new Map<string, BatchRecord>();
  /** Bytes of each file that have been read. */
  private readonly offsets = new Map<string, number>();

  private constructor(
    private readonly folder: string,
    private readonly file: FileHandle,
  ) {}

  /** Makes the folder and reads what is there. @throws DataError */
  static async open(folder: string): Promise<Manifest> {
    const path = join(folder, `${hostname().replaceAll(/[^\w.-]/g, "_")}.jsonl`);
    try {
      await mkdir(folder, { recursive: true });
      const file = await open(path, "a+");
      const manifest = new Manifest(folder, file);
      await manifest.endCutLine();
      await manifest.refresh();
      return manifest;
    } catch (error) {
      if (error instanceof DataError) throw error;
      throw new DataError(
        `${path}: expected to write the manifest, received ${String(error)}; check the folder`,
        {
          cause: error,
        },
      );
    }
  }

  /** The latest record of every case. */
  all(): BatchRecord[] {
    return [...this.records.values()];
  }

  get(id: string): BatchRecord | undefined {
    return this.records.get(id);
  }

  /** Reads what has been added, by others too. @returns ids of the cases that it concerns */
  async refresh(): Promise<string[]> {
    const ids: string[] = [];
    for (const name of await readdir(this.folder)) {
      if (name.endsWith(".jsonl")) ids.push(...(await this.readNew(join(this.folder, name))));
    }
    return ids;
  }

  /** Adds a record; it is on the disk when this returns. @throws DataError when the disk is full */
  async append(record: BatchRecord): Promise<void> {
    try {
      await this.file.appendFile(`${JSON.stringify(record)}\n`);
      await this.file.sync();
    } catch (error) {
      throw new DataError(
        `${this.folder}: expected to add to the manifest, received ${String(error)}; free some space`,
        { cause: error },
      );
    }
    this.put(record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }

  private put(record: BatchRecord): void {
    const before = this.records.get(record.id);
    if (before === undefined || before.finished <= record.finished) this.records.set(record.id, record);
  }

  private async readNew(path: string): Promise<string[]> {
    const start = this.offsets.get(path) ?? 0;
    const { size } = await stat(path);
    if (size <= start) return [];
    const pieces: Buffer[] = [];
    for await (const piece of createReadStream(path, { start, end: size - 1 })) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    // The last line may still be in the writing.
    const end = bytes.lastIndexOf("\n") + 1;
    this.offsets.set(path, start + end);
    return bytes
      .subarray(0, end)
      .toString("utf8")
      .split("\n")
      .flatMap((line) => {
        // A line that a crash cut off has no case to lose: it was never on the disk as a whole.
        const record = recordSchema.safeParse(jsonOf(line)).data;
        if (record === undefined) return [];
        this.put(record);
        return [record.id];
      });
  }

  /** A crash of the machine can cut the last line off; what follows must not be added to it. */
  private async endCutLine(): Promise<void> {
    const { size } = await this.file.stat();
    if (size === 0) return;
    const { buffer } = await this.file.read(Buffer.alloc(1), 0, 1, size - 1);
    if (buffer.toString() !== "\n") await this.file.appendFile("\n");
  }
}
