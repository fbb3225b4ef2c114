import { readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { z } from "zod";
import { DataError } from "../../errors.js";
import { extensions, splitVolumeName } from "../formats/index.js";
import { namedLabels } from "./label-names.js";
import { type Case, type Layout, pathKind } from "./layout.js";

const item = z.union([
  z.string(),
  z.looseObject({ image: z.union([z.string(), z.array(z.string()).min(1)]), label: z.string().optional() }),
]);
const items = z.array(item).default([]);

/** The keys that matter here. MSD says `test`, MONAI also `testing` and `validation`; the unlabelled ones are ours. */
const listSchema = z.object({
  training: z.array(item),
  validation: items,
  test: items,
  testing: items,
  unlabeled: items,
  unlabelled: items,
  labels: z.record(z.string(), z.unknown()).optional(),
});

type Item = z.infer<typeof item>;

/** Case lists of the Medical Segmentation Decathlon and MONAI: `dataset.json` in the root, or the root itself. */
export const decathlon: Layout = {
  name: "decathlon",
  lookedFor: "a .json file (dataset.json in a folder) with a list 'training' of existing images",
  async detect(root) {
    const path = await listPath(root);
    return path !== null && (await hasCaseList(path));
  },
  async list(root) {
    const path = await listPath(root);
    if (path === null) throw new DataError(`${root}: expected a dataset.json in it, received none; add it`);
    const json = listSchema.safeParse(await readJson(path));
    if (!json.success) {
      const [issue] = json.error.issues;
      throw new DataError(
        `${path}: expected a list of cases, received a wrong '${issue?.path.join(".")}' (${issue?.message}); correct the file`,
      );
    }
    const { training, validation, test, testing, unlabeled, unlabelled, labels } = json.data;
    const entries = [training, [...unlabeled, ...unlabelled], [...validation, ...test, ...testing]].map(
      (list) => list.map((entry) => filesOf(path, entry)),
    );
    const nameOf = caseNames(path, entries.flat());
    const [labelled = [], bare = [], held = []] = entries.map((list) =>
      list.map((files): Case => ({ id: nameOf(files.image), ...files })),
    );
    return {
      train: [...labelled, ...bare.map(({ label: _, ...entry }) => entry)],
      test: held,
      ...(labels && namedLabels(labels, path)),
    };
  },
};

/** True when a .json file has a list `training` whose first image is there (nnU-Net 1 lists names that are not). */
export async function hasCaseList(path: string): Promise<boolean> {
  const json = await readJson(path).catch(() => null);
  const { data: list } = z.object({ training: z.array(z.unknown()) }).safeParse(json);
  const { data: first } = item.safeParse(list?.training[0]);
  return first !== undefined && (await pathKind(filesOf(path, first).image)) === "file";
}

async function listPath(root: string): Promise<string | null> {
  const path = /\.json$/i.test(root) ? root : join(root, "dataset.json");
  return (await pathKind(path)) === "file" ? path : null;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new DataError(
      `${path}: expected JSON, received ${String(error).split("\n")[0]}; correct the file`,
      {
        cause: error,
      },
    );
  }
}

type Files = Omit<Case, "id">;

function filesOf(list: string, entry: Item): Files {
  const { image, label } = typeof entry === "string" ? { image: entry } : entry;
  const at = (path: string): string => resolve(dirname(list), path);
  const [first = "", ...further] = [image].flat().map(at);
  return {
    image: first,
    ...(further.length > 0 && { further }),
    ...(label !== undefined && { label: at(label) }),
  };
}

/** The names of the image files; where two are alike (`<case>/image.nii.gz`), their paths from the list on. */
function caseNames(list: string, files: readonly Files[]): (image: string) => string {
  const stems = new Map(files.map(({ image }) => [image, stemOf(list, image.replace(/^.*[/\\]/, ""))]));
  if (new Set(stems.values()).size === stems.size) return (image) => stems.get(image) ?? image;
  return (image) => stemOf(list, relative(dirname(list), image));
}

function stemOf(list: string, name: string): string {
  const stem = splitVolumeName(name)?.stem;
  if (stem !== undefined) return stem;
  throw new DataError(
    `${list}: expected volumes (${extensions.join(", ")}) in the list, received '${name}'; convert it`,
  );
}
