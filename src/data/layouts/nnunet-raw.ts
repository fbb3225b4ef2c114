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

/** nnU-Net's raw folder: `dataset.json`, `imagesTr/<id>_0000.nii.gz`, `labelsTr/<id>.nii.gz`, `imagesTs/`; `imagesUn/` is ours. */
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
    const channels = Object.values(json.channel_names ?? json.modality ?? {});
    if (channels.length > 1) {
      throw new DataError(
        `${path}: expected one channel, received ${channels.length} (${channels.join(", ")}); ` +
          "make a data set of one of them",
      );
    }
    const ending = json.file_ending ?? ".nii.gz";
    if (!extensions.includes(ending.toLowerCase())) {
      throw new DataError(
        `${path}: expected one of ${extensions.join(", ")} for file_ending, received '${ending}'; convert the images`,
      );
    }
    const labelled = await pairs(join(root, "imagesTr"), join(root, "labelsTr"));
    const hasMore = (await pathKind(join(root, "imagesUn"))) === "folder";
    return {
      train: hasMore ? [...labelled, ...(await pairs(join(root, "imagesUn"), null))] : labelled,
      test: (await pathKind(join(root, "imagesTs")))
        ? await pairs(join(root, "imagesTs"), join(root, "labelsTs"))
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

async function pairs(imageFolder: string, labelFolder: string | null): Promise<Case[]> {
  const images = await volumeFiles(imageFolder);
  const labels = labelFolder === null ? new Map<string, string>() : await volumeFilesIfAny(labelFolder);
  const cases: Case[] = [];
  for (const [stem, image] of images) {
    const [, id, channel] = /^(.+)_(\d{4})$/.exec(stem) ?? [];
    if (id === undefined || channel !== "0000") {
      const cure = id === undefined ? "add the channel number to the name" : "use one channel only";
      throw new DataError(`${image}: expected a name <id>_0000, received '${stem}'; ${cure}`);
    }
    const label = labels.get(id);
    cases.push({ id, image, ...(label !== undefined && { label }) });
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
