import { join } from "node:path";
import { type Case, foldersIn, type Layout, pathKind, volumeFiles } from "./layout.js";
import { publicSplit } from "./public-split.js";

const IMAGE_FOLDER = /^(AbdomenCT-1K-)?ImagePart\d+$/;

/** AbdomenCT-1K: `AbdomenCT-1K-ImagePart<n>/Case_<m>_0000.nii.gz` with `Mask/Case_<m>.nii.gz`. */
export const abdomenCt1k: Layout = {
  name: "abdomenct-1k",
  lookedFor: "folders AbdomenCT-1K-ImagePart<n>/ and Mask/",
  async detect(root) {
    return (
      (await pathKind(join(root, "Mask"))) === "folder" && (await foldersIn(root, IMAGE_FOLDER)).length > 0
    );
  },
  async list(root) {
    const labels = await volumeFiles(join(root, "Mask"));
    const cases: Case[] = [];
    for (const folder of await foldersIn(root, IMAGE_FOLDER)) {
      for (const [stem, image] of await volumeFiles(join(root, folder))) {
        const id = stem.replace(/_0000$/, "");
        const label = labels.get(id);
        cases.push({ id, image, ...(label !== undefined && { label }) });
      }
    }
    return {
      ...(await publicSplit(root, cases, { test: 100, of: 1000 })),
      labels: { 0: "background", 1: "liver", 2: "kidney", 3: "spleen", 4: "pancreas" },
    };
  },
};
