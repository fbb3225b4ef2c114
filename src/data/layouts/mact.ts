import { join } from "node:path";
import { DataError } from "../../errors.js";
import { extensions } from "../formats/index.js";
import { abdominalOrgans } from "./abdominal-organs.js";
import { firstFile } from "./case-folders.js";
import { type Case, type Layout, pathKind, volumeFilesIfAny } from "./layout.js";
import { publicSplit } from "./public-split.js";

/** One of the two collections whose images were labelled anew. */
interface Collection {
  readonly name: string;
  /** Where its labels may lie: `label<n>.nii.gz`. */
  readonly labels: readonly string[];
  /** Where its images may lie. */
  readonly images: readonly string[];
  /** Names of an image without ending. */
  stems(number: string): readonly string[];
  /** Images that their publisher has withdrawn. */
  readonly withdrawn: readonly string[];
}

const collections: readonly Collection[] = [
  {
    name: "btcv",
    labels: ["label_btcv_multiorgan"],
    images: [
      "image_btcv_multiorgan",
      "RawData/Training/img",
      "RawData/Testing/img",
      "Training/img",
      "Testing/img",
    ],
    stems: (number) => [`img${number}`],
    withdrawn: [],
  },
  {
    name: "tcia",
    labels: ["label_tcia_multiorgan", "label_tciapancreasct_multiorgan/label_tcia_multiorgan"],
    images: ["image_tcia_multiorgan", "Pancreas-CT"],
    stems: (number) => [`PANCREAS_${number}`, `img${number}`],
    withdrawn: ["0025"],
  },
];

async function labelFolder(root: string, { labels }: Collection): Promise<string | undefined> {
  for (const name of labels) if ((await pathKind(join(root, name))) === "folder") return join(root, name);
  return undefined;
}

/** MACT: labels of 14 organs for TCIA Pancreas-CT and BTCV, beside the images of both, as volumes. */
export const mact: Layout = {
  name: "mact",
  lookedFor: "folders label_btcv_multiorgan/ or label_tcia_multiorgan/",
  async detect(root) {
    for (const collection of collections) if (await labelFolder(root, collection)) return true;
    return false;
  },
  async list(root) {
    const cases: Case[] = [];
    for (const collection of collections) cases.push(...(await casesOf(root, collection)));
    return { ...(await publicSplit(root, cases, { test: 20, of: 90 })), labels: abdominalOrgans };
  },
};

async function casesOf(root: string, collection: Collection): Promise<Case[]> {
  const folder = await labelFolder(root, collection);
  const cases: Case[] = [];
  for (const [stem, label] of folder === undefined ? [] : await volumeFilesIfAny(folder)) {
    const [number] = /\d{4}$/.exec(stem) ?? [];
    if (number === undefined) continue;
    const image = await findImage(root, collection, number);
    if (image !== undefined) cases.push({ id: `${collection.name}_${number}`, image, label });
    else if (!collection.withdrawn.includes(number)) {
      throw new DataError(
        `${label}: expected its image ${collection.stems(number)[0]}.nii.gz in one of ${collection.images.join(", ")}, ` +
          "received none; convert its DICOM series to NIfTI, or move this label away",
      );
    }
  }
  return cases;
}

async function findImage(
  root: string,
  { images, stems }: Collection,
  number: string,
): Promise<string | undefined> {
  const names = stems(number).flatMap((stem) => extensions.map((extension) => `${stem}${extension}`));
  for (const place of images) {
    const found = await firstFile(join(root, place), names);
    if (found !== undefined) return found;
  }
  return undefined;
}
