import { join } from "node:path";
import { type CaseFiles, caseFolders, hasCaseFolders } from "./case-folders.js";
import type { Layout } from "./layout.js";
import { publicSplit } from "./public-split.js";

const files: CaseFiles = {
  image: () => ["lgemri.nrrd"],
  label: () => ["laendo.nrrd"],
};

/** Where the folders of the cases lie. */
const places = (root: string): string[] => [join(root, "Training Set"), root];

/** The left-atrium challenge of 2018: `Training Set/<id>/lgemri.nrrd` and `laendo.nrrd`; the paper has these 100. */
export const la2018: Layout = {
  name: "la-2018",
  lookedFor: "folders with lgemri.nrrd, in it or in Training Set/",
  detect: (root) => hasCaseFolders(places(root), files),
  async list(root) {
    const lists = await Promise.all(places(root).map((place) => caseFolders(place, files)));
    const cases = lists.find(({ length }) => length > 0) ?? [];
    return {
      ...(await publicSplit(root, cases, { test: 20, of: 100 })),
      labels: { 0: "background", 255: "left atrium" },
    };
  },
};
