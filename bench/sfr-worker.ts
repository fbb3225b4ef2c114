/**
 * Our implementation of one case, in a process of its own: builds it, runs it once, compares with a peer's check file
 * when there is one, then times it and prints one JSON line (workerLineSchema).
 *
 * node --expose-gc sfr-worker.js --request JSON --runs N --slow-runs N --threads T [--check FILE --tolerance X]
 *   [--simd LEVEL] [--profile layers|ops]
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import { SfrError, UsageError } from "../src/errors.js";
import { readSafetensors } from "../src/io/safetensors.js";
import { configureEngine, engineInfo } from "../src/native/native.js";
import { checkAgainstPeer } from "./check.js";
import { median, Profile, profileKindSchema } from "./profile.js";
import { requestSchema } from "./requests.js";
import { startWorkload } from "./workloads.js";

/** From this on a run counts as slow, seconds. */
const slowRun = 20;
const count = z.coerce.number().int().min(1);

const optionsSchema = z.object({
  request: z.string().transform((text) => requestSchema.parse(JSON.parse(text))),
  runs: count,
  /** Timed runs where one is slow. */
  "slow-runs": count,
  threads: count,
  simd: z.string().optional(),
  check: z.string().optional(),
  tolerance: z.coerce.number().min(0),
  profile: profileKindSchema.optional(),
});

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      ...{ request: text, runs: text, "slow-runs": text, threads: text, simd: text },
      ...{ check: text, tolerance: text, profile: text },
    },
  });
  const parsed = optionsSchema.safeParse(values);
  if (!parsed.success) throw new UsageError(`sfr-worker: ${z.prettifyError(parsed.error)}`);
  const { request, runs, threads, simd: level, check, tolerance } = parsed.data;
  configureEngine({ threads, ...(level === undefined ? {} : { simd: level }) });
  const workload = await startWorkload(request);
  const maxError =
    check === undefined
      ? null
      : checkAgainstPeer(
          `bench ${request.work}`,
          workload.values,
          (await readSafetensors(check)).tensors,
          tolerance,
        );
  globalThis.gc?.();
  const seconds: number[] = [];
  const profile = parsed.data.profile === undefined ? undefined : new Profile(parsed.data.profile);
  const wanted = () => ((seconds[0] ?? 0) > slowRun ? parsed.data["slow-runs"] : runs);
  for (let i = 1; i <= wanted(); i++) {
    const start = performance.now();
    await workload.run(i);
    seconds.push((performance.now() - start) / 1000);
    if (workload.explain !== null) profile?.add(workload.explain());
  }
  const { flops, bytesMoved } = workload.explain?.() ?? {};
  const { simd, compiler } = engineInfo();
  const line = {
    median_s: median(seconds),
    min_s: Math.min(...seconds),
    max_s: Math.max(...seconds),
    runs: seconds.length,
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024, // Node reports KiB
    // Copies and distances have no operations to count.
    gflop: flops ? flops / 1e9 : null,
    bytes: bytesMoved ?? null,
    parts: profile?.parts() ?? [],
    result: [...workload.values.values()].map((entries) => entries[0] ?? null),
    max_error_vs_peer: maxError,
    simd,
    compiler,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof SfrError ? error.message : (error as Error).stack}\n`);
  process.exitCode = 1;
}
