import { join } from "node:path";
import { DataError } from "../../errors.js";
import { type Case, foldersIn, type Layout, pathKind, volumeFilesIfAny } from "./layout.js";

/** Entities that a label has beyond those of its image. */
const LABEL_ENTITIES = /_(desc|space|label|res|den|atlas|seg)-[a-zA-Z0-9]+/g;

/**
 * BIDS: images `sub-<label>/[ses-<label>/]anat/<entities>_<suffix>.nii.gz` of one suffix, labels
 * `derivatives/<name>/<same folders>/<entities>_dseg.nii.gz`. Subjects without a label are unlabelled; test cases are
 * picked out by id (splits).
 */
export const bids: Layout = {
  name: "bids",
  lookedFor: "folders sub-<label>/anat/ or sub-<label>/ses-<label>/anat/",
  async detect(root) {
    return (await anatFolders(root)).length > 0;
  },
  async list(root) {
    const images = new Map<string, string>();
    const suffixes = new Set<string>();
    for (const folder of await anatFolders(root)) {
      for (const [stem, path] of await volumeFilesIfAny(join(root, folder))) {
        const [, id, suffix] = /^(sub-.+)_([a-zA-Z0-9]+)$/.exec(stem) ?? [];
        if (id === undefined || suffix === undefined) continue;
        suffixes.add(suffix);
        images.set(id, path);
      }
    }
    if (suffixes.size > 1) {
      throw new DataError(
        `${root}: expected images of one suffix in anat/, received ${[...suffixes].sort().join(", ")}; ` +
          "write a list file of those to use",
      );
    }
    const labels = await labelFiles(root, images);
    const train = [...images].map(([id, image]): Case => {
      const label = labels.get(id);
      return { id, image, ...(label !== undefined && { label }) };
    });
    return { train, test: [] };
  },
};

/** Labels by the id of their image. @throws DataError when an image has two */
async function labelFiles(root: string, images: ReadonlyMap<string, string>): Promise<Map<string, string>> {
  const labels = new Map<string, string>();
  for (const derivative of await foldersIn(join(root, "derivatives"), /./)) {
    const base = join(root, "derivatives", derivative);
    for (const folder of await anatFolders(base)) {
      for (const [stem, path] of await volumeFilesIfAny(join(base, folder))) {
        if (!stem.endsWith("_dseg")) continue;
        const id = stem.slice(0, -"_dseg".length).replaceAll(LABEL_ENTITIES, "");
        if (!images.has(id)) continue;
        const before = labels.get(id);
        if (before !== undefined) {
          throw new DataError(
            `${root}: expected one label for '${id}', received ${before} and ${path}; write a list file of those to use`,
          );
        }
        labels.set(id, path);
      }
    }
  }
  return labels;
}

/** `sub-01/anat`, `sub-02/ses-1/anat`, in order. */
async function anatFolders(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const subject of await foldersIn(root, /^sub-/)) {
    const sessions = await foldersIn(join(root, subject), /^ses-/);
    for (const place of [subject, ...sessions.map((session) => join(subject, session))]) {
      if ((await pathKind(join(root, place, "anat"))) === "folder") found.push(join(place, "anat"));
    }
  }
  return found;
}
