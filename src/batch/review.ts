import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { writeFileAtomic } from "../io/atomic-file.js";
import { type CsvRow, csvText } from "../io/csv.js";
import { type PngFile, pngFile } from "../io/png.js";
import type { ModelCard } from "../run/model-card.js";
import { type ReviewCase, reviewHtml } from "../viewer/review.js";
import { batchPaths } from "./case-work.js";
import type { BatchRecord } from "./manifest.js";

/** Pictures in the page; it stays below some 10 MB. */
const shownPictures = 100;

/** A record of a finished case. */
type DoneRecord = BatchRecord & { readonly status: "done" };

/**
 * Writes `ranking.csv` and `review.html`: the cases by the network's confidence, the least sure first, then those that
 * failed.
 *
 * @throws DataError when they cannot be written
 */
export async function writeReview(
  out: string,
  records: readonly BatchRecord[],
  { labelIds, labelNames }: ModelCard,
): Promise<void> {
  const labels = labelIds.slice(1).map(String);
  const done = records
    .filter((record): record is DoneRecord => record.status === "done")
    .sort((a, b) => (a.confidence ?? 0) - (b.confidence ?? 0) || (a.id < b.id ? -1 : 1));
  const failed = records.filter(({ status }) => status === "failed").sort((a, b) => (a.id < b.id ? -1 : 1));
  const ranked = [...done, ...failed];
  const rows: CsvRow[] = [
    [
      ...["rank", "case", "status", "confidence", "foreground_confidence", "volume_unit"],
      ...labels.map((label) => `volume_${label}`),
      ...["image", "labels", "error"],
    ],
    ...ranked.map((record, index) => rowOf(record, index, labels)),
  ];
  await writeFileAtomic(join(out, batchPaths.ranking), csvText(rows));
  const cases: ReviewCase[] = [];
  for (const [index, record] of done.entries()) {
    const { id, confidence = 0, foregroundConfidence = null, volumes = {} } = record;
    const picture = index < shownPictures ? await readPicture(out, id) : undefined;
    cases.push({ id, confidence, foregroundConfidence, volumes, picture });
  }
  const html = reviewHtml({
    title: `Labels in ${basename(resolve(out))}`,
    cases,
    failures: failed.map(({ id, error = "unknown" }) => ({ id, error })),
    labels,
    labelNames,
    volumeUnit: [...new Set(done.map(({ volumeUnit = "voxel" }) => volumeUnit))].join(" or ") || "mm3",
  });
  await writeFileAtomic(join(out, batchPaths.review), html);
}

function rowOf(record: BatchRecord, index: number, labels: readonly string[]): CsvRow {
  const { id, status, confidence, foregroundConfidence, volumeUnit, volumes, image, error } = record;
  return [
    ...[status === "done" ? index + 1 : null, id, status, confidence ?? null, foregroundConfidence ?? null],
    volumeUnit ?? null,
    ...labels.map((label) => volumes?.[label] ?? null),
    ...[image, record.labels ?? null, error ?? null],
  ];
}

async function readPicture(out: string, id: string): Promise<PngFile | undefined> {
  const path = join(out, batchPaths.picture(id));
  const bytes = await readFile(path).catch(() => undefined);
  return bytes === undefined ? undefined : pngFile(bytes, path);
}
