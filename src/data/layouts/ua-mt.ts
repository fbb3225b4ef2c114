import { join } from "node:path";
import { DataError } from "../../errors.js";
import { type Case, type Layout, pathKind } from "./layout.js";
import { readLines } from "./list-lines.js";

/** Where the authors of UA-MT and the projects after it put the file of a case, in order. */
const PLACES: readonly ((id: string) => string)[] = [
  (id) => join("volumes", id, "mri_norm2.h5"),
  (id) => join(id, "mri_norm2.h5"),
  (id) => `${id}.h5`,
  (id) => join("data", `${id}.h5`),
];

/**
 * UA-MT: `train.list` with one id per line (the first ones are the labelled ones), `test.list` or else
 * `validation.list` for measuring, one h5 file per case with both image and label.
 */
export const uaMt: Layout = {
  name: "ua-mt",
  lookedFor: "a file train.list with one id per line",
  async detect(root) {
    return (await pathKind(join(root, "train.list"))) === "file";
  },
  async list(root) {
    const held = (await pathKind(join(root, "test.list"))) ? "test.list" : "validation.list";
    return {
      train: await casesOf(root, "train.list"),
      test: (await pathKind(join(root, held))) ? await casesOf(root, held) : [],
    };
  },
};

async function casesOf(root: string, list: string): Promise<Case[]> {
  const cases: Case[] = [];
  for (const { text: id } of await readLines(join(root, list))) {
    const image = await findFile(root, id, list);
    cases.push({ id, image, label: image });
  }
  return cases;
}

async function findFile(root: string, id: string, list: string): Promise<string> {
  for (const place of PLACES) {
    const path = join(root, place(id));
    if ((await pathKind(path)) === "file") return path;
  }
  throw new DataError(
    `${join(root, list)}: expected a file for case '${id}' at one of ` +
      `${PLACES.map((place) => place(id)).join(", ")}, received none; correct the list or add the file`,
  );
}
