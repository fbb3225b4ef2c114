import { join } from "node:path";
import { nearestName } from "../../config/nearest-name.js";
import { DataError } from "../../errors.js";
import { type Case, type Layout, pathKind, volumeFiles, volumeFilesIfAny } from "./layout.js";

/**
 * `images/<id>.nii.gz` and `labels/<id>.nii.gz`, equal stems. An image without a label file is
 * unlabelled; `imagesUn/` holds more of those; `imagesTs/` with `labelsTs/` are the test cases.
 */
export const imagesLabels: Layout = {
  name: "images-labels",
  lookedFor: "a folder images/ (with labels/, imagesUn/, imagesTs/, labelsTs/)",
  async detect(root) {
    return (await pathKind(join(root, "images"))) === "folder";
  },
  async list(root) {
    const labelled = await pairs(join(root, "images"), join(root, "labels"));
    const unlabelled = [...(await volumeFilesIfAny(join(root, "imagesUn")))];
    return {
      train: [...labelled, ...unlabelled.map(([id, image]): Case => ({ id, image }))],
      test: (await pathKind(join(root, "imagesTs")))
        ? await pairs(join(root, "imagesTs"), join(root, "labelsTs"))
        : [],
    };
  },
};

async function pairs(imageFolder: string, labelFolder: string): Promise<Case[]> {
  const images = await volumeFiles(imageFolder);
  const labels = await volumeFilesIfAny(labelFolder);
  for (const [id, path] of labels) {
    if (images.has(id)) continue;
    const nearest = nearestName(id, [...images.keys()]);
    throw new DataError(
      `${path}: expected an image '${id}' in ${imageFolder} for this label, received none` +
        `${nearest === null ? "" : `, the nearest is '${nearest}'`}; give both files the same name`,
    );
  }
  return [...images].map(([id, image]) => {
    const label = labels.get(id);
    return { id, image, ...(label !== undefined && { label }) };
  });
}
