import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../../errors.js";
import { extensions } from "../formats/index.js";
import { hasCaseList } from "./decathlon.js";
import { namedLabels } from "./label-names.js";
import { type Case, type Layout, pathKind, volumeFiles, volumeFilesIfAny } from "./layout.js";

/** The keys of dataset.json that matter here; version 1 has `modality` and labels the other way round. */
const datasetJson = z.object({
  channel_names: z.record(z.string(), z.string()).optional(),
  modality: z.record(z.string(), z.string()).optional(),
  labels: z.record(z.string(), z.unknown()),
  file_ending: z.string().optional(),
});

/**
 * nnU-Net's raw folder: `dataset.json`, `imagesTr/<id>_0000.nii.gz` (and `_0001` .. of further channels),
 * `labelsTr/<id>.nii.gz`, `imagesTs/`; `imagesUn/` is ours.
 */
export const nnunetRaw: Layout = {
  name: "nnunet-raw",
  lookedFor: "a file dataset.json without a list of its cases beside a folder imagesTr/",
  async detect(root) {
    return (
      (await pathKind(join(root, "dataset.json"))) === "file" &&
      (await pathKind(join(root, "imagesTr"))) === "folder" &&
      !(await hasCaseList(join(root, "dataset.json")))
    );
  },
  async list(root) {
    const path = join(root, "dataset.json");
    const json = await readDatasetJson(path);
    const channels = Math.max(1, Object.keys(json.channel_names ?? json.modality ?? {}).length);
    const ending = json.file_ending ?? ".nii.gz";
    if (!extensions.includes(ending.toLowerCase())) {
      throw new DataError(
        `${path}: expected one of ${extensions.join(", ")} for file_ending, received '${ending}'; convert the images`,
      );
    }
    const labelled = await pairs(join(root, "imagesTr"), join(root, "labelsTr"), channels);
    const hasMore = (await pathKind(join(root, "imagesUn"))) === "folder";
    return {
      train: hasMore ? [...labelled, ...(await pairs(join(root, "imagesUn"), null, channels))] : labelled,
      test: (await pathKind(join(root, "imagesTs")))
        ? await pairs(join(root, "imagesTs"), join(root, "labelsTs"), channels)
        : [],
      ...namedLabels(json.labels, path),
    };
  },
};

async function readDatasetJson(path: string): Promise<z.infer<typeof datasetJson>> {
  try {
    return datasetJson.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    const cause = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new DataError(
      `${path}: expected nnU-Net's dataset.json, received ${cause.replaceAll("\n", " ")}; correct the file`,
      { cause: error },
    );
  }
}

async function pairs(imageFolder: string, labelFolder: string | null, channels: number): Promise<Case[]> {
  const images = channelFiles([...(await volumeFiles(imageFolder))], channels);
  const labels = labelFolder === null ? new Map<string, string>() : await volumeFilesIfAny(labelFolder);
  const cases: Case[] = [];
  for (const [id, files] of images) {
    const label = labels.get(id);
    cases.push({ id, ...files, ...(label !== undefined && { label }) });
    labels.delete(id);
  }
  for (const [id, path] of labels) {
    throw new DataError(
      `${path}: expected an image '${id}_0000' in ${imageFolder} for this label, received none; ` +
        "give both files the same name",
    );
  }
  return cases;
}

/**
 * Files `<id>_0000`, `<id>_0001` .. of `channels` channels as images by id, in the order of the files.
 *
 * @param files stems and paths
 * @throws DataError when a name has no such number, or an image lacks a channel or has one too many
 */
function channelFiles(
  files: readonly (readonly [stem: string, path: string])[],
  channels: number,
): Map<string, Pick<Case, "image" | "further">> {
  const found = new Map<string, string[]>();
  for (const [stem, path] of files) {
    const [, id, digits] = /^(.+)_(\d{4})$/.exec(stem) ?? [];
    const channel = Number(digits);
    if (id === undefined || channel >= channels) {
      const wanted = channels === 1 ? "<id>_0000" : `<id>_0000 to <id>_000${channels - 1}`;
      const cure =
        id === undefined ? "add the channel number to the name" : "name all channels in dataset.json";
      throw new DataError(`${path}: expected a name ${wanted}, received '${stem}'; ${cure}`);
    }
    const paths = found.get(id) ?? [];
    paths[channel] = path;
    found.set(id, paths);
  }
  const images = new Map<string, Pick<Case, "image" | "further">>();
  for (const [id, paths] of found) {
    const missing = Array.from({ length: channels }, (_, channel) => paths[channel]).indexOf(undefined);
    const [image, ...further] = paths;
    if (missing >= 0 || image === undefined)
      throw new DataError(
        `${paths.find(Boolean)}: expected ${channels} channels of '${id}', received no ${id}_000${missing}; add the file`,
      );
    images.set(id, { image, ...(further.length > 0 && { further }) });
  }
  return images;
}
