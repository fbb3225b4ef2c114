import { join } from "node:path";
import { type Case, foldersIn, pathKind } from "./layout.js";

/** Names of the files in a case's folder, without folder; several where downloads differ. */
export interface CaseFiles {
  image(folder: string): readonly string[];
  label(folder: string): readonly string[];
}

/** Cases that have a folder each, by the folders' names. */
export async function caseFolders(root: string, files: CaseFiles): Promise<Case[]> {
  const cases: Case[] = [];
  for (const id of await foldersIn(root, /^[^.]/)) {
    const image = await firstFile(join(root, id), files.image(id));
    if (image === undefined) continue;
    const label = await firstFile(join(root, id), files.label(id));
    cases.push({ id, image, ...(label !== undefined && { label }) });
  }
  return cases;
}

/** Whether one of these folders has the folder of a case in it; those that cannot be read are none. */
export async function hasCaseFolders(roots: readonly string[], { image }: CaseFiles): Promise<boolean> {
  for (const root of roots) {
    for (const id of await foldersIn(root, /^[^.]/)) {
      if ((await firstFile(join(root, id), image(id)).catch(() => undefined)) !== undefined) return true;
    }
  }
  return false;
}

/** The first of these names that is a file in a folder. */
export async function firstFile(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    if ((await pathKind(join(folder, name))) === "file") return join(folder, name);
  }
  return undefined;
}
