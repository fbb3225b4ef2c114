import type { Case } from "../data/cases.js";
import { defaultCachePath, readCache, writeCache } from "../data/check/cache-file.js";
import { checkDataset, type Remark } from "../data/check/check.js";
import { DataError } from "../errors.js";
import type { RunContext } from "./stage.js";

/**
 * What `sfr check` does, before a training. Faults of test cases and notes are told and do not stop it. Labels of
 * unlabelled cases are never opened. Files that have not changed since the last check are not read.
 *
 * @throws DataError when a training case is at fault, or a case is there twice
 */
export async function checkData({ cases, config, progress, signal }: RunContext): Promise<void> {
  const { root, layout } = config.data;
  const { labelled, unlabelled, test } = cases.split;
  const train: Case[] = [...labelled, ...unlabelled];
  const cachePath = defaultCachePath(root);
  const cache = await readCache(cachePath);
  const start = performance.now();
  progress.begin("check", train.length + test.length, 0, "cases");
  const dataset = { root, layout, train, test, ...cases.fileLabels };
  const { remarks } = await checkDataset(dataset, cache, (done) => progress.update(done), signal);
  progress.end((performance.now() - start) / 1000);
  // Without the findings the next check only takes longer.
  await writeCache(cachePath, cache).catch(() => {});
  const isTest = new Set(test.map(({ id }) => id));
  const stops = ({ kind, caseId }: Remark) =>
    kind === "fault" && !(caseId !== undefined && isTest.has(caseId));
  const faults = remarks.filter(stops);
  for (const remark of remarks) {
    // What is harmless here is no matter of a run.
    if (remark.kind !== "harmless" && !stops(remark)) progress.note(`${remark.kind}: ${remark.text}`);
  }
  const [fault, ...others] = faults;
  if (fault === undefined) return;
  if (others.length === 0) throw new DataError(fault.text);
  for (const { text } of faults) progress.problem(text);
  throw new DataError(
    `data: expected training cases without fault, received ${faults.length} faults, as above; mend or leave out these files`,
  );
}
