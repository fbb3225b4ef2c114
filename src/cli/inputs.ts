import { basename } from "node:path";
import type { Case } from "../data/cases.js";
import { extensions, splitVolumeName } from "../data/formats/index.js";
import { pathKind, volumeFiles } from "../data/layouts/layout.js";
import { DataError, UsageError } from "../errors.js";

/**
 * Volumes named on the command line: files, and the volumes in folders.
 *
 * @returns one case per volume, its id the name of the file without extension
 * @throws DataError when a path does not exist, a folder has no volumes, or a file has another format; UsageError when
 *   two volumes would get the same id
 */
export async function findInputs(paths: readonly string[]): Promise<Case[]> {
  const cases: Case[] = [];
  for (const path of paths) cases.push(...(await volumesAt(path)));
  const seen = new Map<string, string>();
  for (const { id, image } of cases) {
    const before = seen.get(id);
    if (before !== undefined) {
      throw new UsageError(
        `inputs: expected different names, received '${before}' and '${image}'; label them in two calls`,
      );
    }
    seen.set(id, image);
  }
  return cases;
}

async function volumesAt(path: string): Promise<Case[]> {
  const kind = await pathKind(path);
  if (kind === null) {
    throw new DataError(
      `${path}: expected a volume or a folder, received nothing at this path; correct the path`,
    );
  }
  if (kind === "folder") {
    const files = [...(await volumeFiles(path))];
    if (files.length > 0) return files.map(([id, image]) => ({ id, image }));
    throw new DataError(
      `${path}: expected volumes (${extensions.join(", ")}) in the folder, received none; name another folder`,
    );
  }
  const name = splitVolumeName(basename(path));
  if (name === undefined) {
    throw new DataError(
      `${path}: expected a volume (${extensions.join(", ")}), received another name; convert it`,
    );
  }
  return [{ id: name.stem, image: path }];
}
