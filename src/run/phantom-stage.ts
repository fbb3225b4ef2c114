import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type PhantomDatasetRequest, writePhantomDataset } from "../data/phantom.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import type { Progress } from "../io/progress.js";
import { version } from "../version.js";

/** Cases of the demo by part. */
const parts = { cases: 16, labelled: 2, unlabelled: 10, test: 4 } as const;

/**
 * Makes the phantom data set of the demo unless it is there: 16 volumes, 2 of them labelled.
 *
 * @param root folder in the images-labels layout
 * @throws UsageError when the folder holds the phantoms of another request; CancelledError when stopped
 */
export async function ensurePhantoms(
  root: string,
  seed: number,
  { progress, signal }: { progress: Progress; signal: AbortSignal },
): Promise<void> {
  const request: PhantomDatasetRequest = { ...parts, seed };
  const marker = join(root, "phantom.json");
  const content = `${JSON.stringify({ ...request, version }, null, 2)}\n`;
  if (existsSync(marker)) {
    if (readFileSync(marker, "utf8") === content) return;
    throw new UsageError(
      `${marker}: expected the phantoms of seed ${seed} and version ${version}, received others; ` +
        "choose another folder with --out, or remove this one",
    );
  }
  const start = performance.now();
  progress.begin("generate phantoms", request.cases, 0, "cases");
  await writePhantomDataset(root, request, signal);
  // Written last, so that a folder with it is whole.
  await writeFileAtomic(marker, content);
  progress.end((performance.now() - start) / 1000, `${request.cases} volumes in ${root}`);
}
