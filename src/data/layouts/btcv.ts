import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { abdominalOrgans } from "./abdominal-organs.js";
import { type Case, type Layout, pathKind, volumeFiles } from "./layout.js";
import { publicSplit } from "./public-split.js";

/** Organs of the challenge; 14 is MACT's alone. */
const { 14: _, ...organs } = abdominalOrgans;

async function findPlace(root: string): Promise<string | undefined> {
  for (const place of [join(root, "RawData", "Training"), join(root, "Training"), root]) {
    // Folders of these names are common; the names of the files are not.
    const names = await readdir(join(place, "img")).catch(() => []);
    const isThere = names.some((name) => /^img\d{4}\.nii/.test(name));
    if (isThere && (await pathKind(join(place, "label"))) === "folder") return place;
  }
  return undefined;
}

/** BTCV, abdomen: `RawData/Training/img/img<n>.nii.gz` with `label/label<n>.nii.gz`. */
export const btcv: Layout = {
  name: "btcv",
  lookedFor: "folders img/ with img<n>.nii.gz and label/, in it or in RawData/Training/",
  async detect(root) {
    const isMact = (await pathKind(join(root, "label_btcv_multiorgan"))) === "folder";
    return !isMact && (await findPlace(root)) !== undefined;
  },
  async list(root) {
    const place = (await findPlace(root)) ?? root;
    const labels = await volumeFiles(join(place, "label"));
    const cases: Case[] = [];
    for (const [id, image] of await volumeFiles(join(place, "img"))) {
      const label = labels.get(id.replace(/^img/, "label"));
      cases.push({ id, image, ...(label !== undefined && { label }) });
    }
    return { ...(await publicSplit(root, cases, { test: 12, of: 30 })), labels: organs };
  },
};
