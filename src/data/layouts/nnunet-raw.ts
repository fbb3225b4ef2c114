import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../../errors.js";
import { extensions } from "../formats/index.js";
import { type Case, type Layout, volumeFiles, volumeFilesIfAny, pathKind } from "./layout.js";

/** The keys of dataset.json that matter here; version 1 has `modality` and labels the other way round. */
const datasetJson = z.object({
  channel_names: z.record(z.string(), z.string()).optional(),
  modality: z.record(z.string(), z.string()).optional(),
  labels: z.record(z.string(), z.unknown()),
  file_ending: z.string().optional(),
});

/** nnU-Net's raw folder: `dataset.json`, `imagesTr/<id>_0000.nii.gz`, `labelsTr/<id>.nii.gz`, `imagesTs/`. */
export const nnunetRaw: Layout = {
  name: "nnunet-raw",
  lookedFor: "a file dataset.json beside a folder imagesTr/",
  async detect(root) {
    return (
      (await pathKind(join(root, "dataset.json"))) === "file" &&
      (await pathKind(join(root, "imagesTr"))) === "folder"
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
    return {
      train: await pairs(join(root, "imagesTr"), join(root, "labelsTr")),
      test: (await pathKind(join(root, "imagesTs")))
        ? await pairs(join(root, "imagesTs"), join(root, "labelsTs"))
        : [],
      labels: labelNames(json.labels, path),
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

/** Version 2 has name -> id, version 1 (and Decathlon) id -> name: the type of the values tells. */
function labelNames(labels: Readonly<Record<string, unknown>>, path: string): Record<number, string> {
  const names: Record<number, string> = {};
  for (const [key, value] of Object.entries(labels)) {
    const [name, id] = typeof value === "string" && /^\d+$/.test(key) ? [value, Number(key)] : [key, value];
    if (name === "ignore" || Array.isArray(id)) {
      throw new DataError(
        `${path}: expected one id per label, received ${name === "ignore" ? "an 'ignore' label" : "regions"} ` +
          `('${name}'); give every voxel one class`,
      );
    }
    const number = typeof id === "string" && id !== "" ? Number(id) : id;
    if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
      throw new DataError(
        `${path}: expected a whole number for label '${name}', received ${JSON.stringify(id)}; correct the file`,
      );
    }
    names[number] = name;
  }
  return names;
}

async function pairs(imageFolder: string, labelFolder: string): Promise<Case[]> {
  const images = await volumeFiles(imageFolder);
  const labels = await volumeFilesIfAny(labelFolder);
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
