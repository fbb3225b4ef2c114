import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../io/atomic-file.js";
import { FactsCache, rememberedSchema } from "./facts.js";

const schema = z.object({ format: z.literal(2), findings: z.record(z.string(), rememberedSchema) });

/** Where the findings of a data set are kept when no place is named: TMPDIR, a file for each user and root. */
export function defaultCachePath(root: string): string {
  const name = createHash("sha256").update(root).digest("hex").slice(0, 16);
  return join(tmpdir(), `sfr-check-${process.getuid?.() ?? 0}-${name}.json`);
}

/** Findings of an earlier check; none when there is no such file or it is not whole. */
export async function readCache(path: string): Promise<FactsCache> {
  try {
    return new FactsCache(schema.parse(JSON.parse(await readFile(path, "utf8"))).findings);
  } catch {
    // Lost findings cost time only: the files are read again.
    return new FactsCache({});
  }
}

/** Keeps the findings of a check. @throws DataError when the file cannot be written */
export async function writeCache(path: string, cache: FactsCache): Promise<void> {
  await writeFileAtomic(path, JSON.stringify({ format: 2, findings: cache.findings }));
}
