import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { namingFile } from "../error-text.js";
import { DataError, UsageError } from "../errors.js";
import { hashFiles } from "../io/hash-files.js";
import { Locator } from "../predict/locator.js";
import { Segmenter } from "../predict/segmenter.js";
import { findModel, foldersAround } from "./find-model.js";
import { type ModelCard, readModelCard } from "./model-card.js";

/** The file of its locator in a run folder, a copy: what was trained with it stays usable when the locator's run is gone. */
export const locatorFile = "locator.safetensors";

/** A locator that a configuration names. */
export interface NamedLocator {
  readonly locator: Locator;
  /** Its weights file. */
  readonly path: string;
  readonly sha256: string;
}

/**
 * Opens the segmenter that volumes are cropped by.
 *
 * @param path a run with one model, an arm of it, or its weights
 * @throws DataError when it is no segmenter; UsageError when it needs a locator itself
 */
export async function openLocator(path: string, signal?: AbortSignal): Promise<NamedLocator> {
  const { weightsPath } = await findModel(path);
  return {
    locator: await load(weightsPath, signal),
    path: weightsPath,
    sha256: await hashFiles([weightsPath], signal),
  };
}

/**
 * Opens the locator that volumes for a trained network are cropped by: beside its weights, or in the run folder around
 * them.
 *
 * @returns undefined when its plan has none
 * @throws DataError when it is not there, or is another one
 */
export async function locatorOf(
  weightsPath: string,
  { plan }: Pick<ModelCard, "plan">,
  signal?: AbortSignal,
): Promise<Locator | undefined> {
  if (plan.locator === undefined) return undefined;
  const { sha256 } = plan.locator;
  const folders = foldersAround(weightsPath);
  const path = folders.map((folder) => join(folder, locatorFile)).find((file) => existsSync(file));
  const received = path === undefined ? "none" : await hashFiles([path], signal);
  if (path !== undefined && received === sha256) return load(path, signal);
  throw new DataError(
    `${path ?? join(dirname(weightsPath), locatorFile)}: expected the locator of ${weightsPath} (SHA-256 ${sha256}), ` +
      `received ${received}; copy ${locatorFile} from the run folder of that training`,
  );
}

async function load(path: string, signal: AbortSignal | undefined): Promise<Locator> {
  const card = await readModelCard(path);
  if (card.plan.locator !== undefined)
    throw new UsageError(
      `preprocess.locator: expected a segmenter that sees whole volumes, received ${path}, which has a locator itself; ` +
        "train one without",
    );
  return new Locator(await namingFile(path, Segmenter.load(path)), card, signal);
}
