import { basename } from "node:path";
import { openDataset } from "../data/cases.js";
import { extensions, splitVolumeName } from "../data/formats/index.js";
import { type Case, pathKind, volumeEntries } from "../data/layouts/layout.js";
import { listFile } from "../data/layouts/list-file.js";
import { DataError, UsageError } from "../errors.js";
import { caseFile } from "../run/stage.js";

/** A volume to label. */
export interface BatchCase {
  /** Unique in the batch; names the results. */
  readonly id: string;
  /** Path of the image file; of the first channel where each has a file of its own. */
  readonly image: string;
  /** Paths of the further channels' files. */
  readonly further?: readonly string[];
  /** Why it cannot be labelled, when that is known before it is read. */
  readonly problem?: string;
}

/**
 * Volumes named by paths: files, folders of files, lists with lines `id image`, and data sets in any layout, of which
 * the cases without a label are taken.
 *
 * @returns cases in the order of the paths; volumes of one name are one case with a problem that names them
 * @throws DataError when a path holds nothing of this kind
 */
export async function findCases(paths: readonly string[]): Promise<BatchCase[]> {
  const groups = new Map<string, Case[]>();
  for (const path of paths) {
    for (const entry of await casesAt(path)) {
      const name = caseFile(entry.id, "");
      groups.set(name, [...(groups.get(name) ?? []), entry]);
    }
  }
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    const { label: _, ...own } = first;
    if (others.length === 0) return [own];
    const { id, image } = first;
    const images = [first, ...others].map((entry) => entry.image).join(", ");
    const problem = `case '${id}': expected one volume of this name, received ${images}; rename all but one`;
    return [{ id, image, problem }];
  });
}

/** Part `index` (from 1) of `count` parts of the cases, every count-th one. @param text `index/count` */
export function shardOf(cases: readonly BatchCase[], text: string): BatchCase[] {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || index < 1 || index > count) {
    throw new UsageError(
      `--shard: expected I/N such as 2/4, I from 1 to N, received '${text}'; correct the value`,
    );
  }
  return cases.filter((_, position) => position % count === index - 1);
}

async function casesAt(path: string): Promise<readonly Case[]> {
  const kind = await pathKind(path);
  if (kind === null) {
    throw new DataError(
      `${path}: expected a volume, a folder or a list, received nothing at this path; correct the path`,
    );
  }
  // Not by openDataset: a name that occurs twice is a fault of its cases, not of the others.
  if (await listFile.detect(path)) return (await listFile.list(path)).train;
  const name = kind === "file" ? splitVolumeName(basename(path)) : undefined;
  if (name !== undefined) return [{ id: name.stem, image: path }];
  const files = kind === "folder" ? await volumeEntries(path) : [];
  if (files.length > 0) return files.map(([id, image]) => ({ id, image }));
  return unlabelledOf(path);
}

async function unlabelledOf(path: string): Promise<Case[]> {
  const { train, test, layout } = await openDataset(path).catch((error: unknown) => {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`${error.message} (or name a folder of volumes: ${extensions.join(", ")})`, {
      cause: error,
    });
  });
  const cases = [...train, ...test].filter(({ label }) => label === undefined);
  if (cases.length > 0) return cases;
  throw new DataError(
    `${path}: expected cases without a label in this data set (${layout}), received labels for all; ` +
      "give the folder of the images",
  );
}
