import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";

const seconds = z.number().positive();
const whole = z.int().min(0);
const share = z.number().min(0);

/** One line of results: one implementation on one case. Null where a field has no meaning. */
export const benchLineSchema = z.strictObject({
  bench: z.string(),
  case: z.string(),
  /** `sfr` is this package at f32; a peer is named by library and setting: `pytorch-channels-last`. */
  impl: z.string(),
  dtype: z.string(),
  device: z.string(),
  median_s: seconds,
  min_s: seconds,
  max_s: seconds,
  /** Timed runs after one warm-up. */
  runs: z.int().min(1),
  /** Largest resident memory of the implementation's process, inputs and start included. */
  peak_rss_bytes: whole,
  peak_device_bytes: whole.nullable(),
  /** Work of one run by the direct algorithm, 1e9 operations; the same number for every implementation. */
  gflop: share.nullable(),
  /** gflop / median_s. */
  gflops: share.nullable(),
  /** gflops / those of a 4096-cubed f32 matrix product of the same session, the faster of ours and the peer's. */
  share_of_sgemm: share.nullable(),
  /** Largest error of our result against the first peer's, relative to its size (check.ts). */
  max_error_vs_peer: share.nullable(),
  threads: z.int().min(1),
  /** SIMD level of our engine: the best one of the machine, which the peers choose too, or one that both are held to. */
  simd: z.string(),
  cpu: z.string(),
  /** Of this package, or of the peer's library. */
  version: z.string().nullable(),
  /** That built our kernels. */
  compiler: z.string().nullable(),
  /** Of the checkout; ends in -dirty when files were changed. */
  commit: z.string().nullable(),

  // Fields that lines from before the profiles do not have.
  /** What one run reads and writes at least: each tensor of each node once. */
  bytes: whole.nullable().default(null),
  /** bytes / median_s / 1e9. */
  gb_per_s: share.nullable().default(null),
  /** gb_per_s / those of a moving average over two tensors of 256 MB in the same session. */
  share_of_bandwidth: share.nullable().default(null),
  /** Of a part of a run: how many nodes it sums up, what runs them, and its share of the run's time. */
  nodes: z.int().min(1).nullable().default(null),
  kernel: z.string().nullable().default(null),
  share_of_run: share.nullable().default(null),
});

export type BenchLine = z.infer<typeof benchLineSchema>;

/** Appends lines to a file, one JSON object each; folders are made. */
export async function appendLines(path: string, lines: readonly BenchLine[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await appendFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}
