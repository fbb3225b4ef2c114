import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Config, configSchema } from "../config/schema.js";
import { DataError, UsageError } from "../errors.js";
import { readRunRecord } from "./run-folder.js";

/** Weights of this program, and the configuration of the run that trained them where it is still around them. */
export interface FoundModel {
  readonly weightsPath: string;
  readonly config: Config | undefined;
}

/** Weights that a stage leaves, by its place in a run folder. */
const weightNames = ["segmenter.safetensors", "sam.safetensors"] as const;

/**
 * Finds the weights in a stage's folder, or in a run folder that has those of one stage only; a weights file is itself.
 *
 * @throws DataError when there is nothing; UsageError when a run folder has several
 */
export async function findModel(path: string): Promise<FoundModel> {
  const weightsPath = await weightsAt(path);
  return { weightsPath, config: configAround(weightsPath) };
}

async function weightsAt(path: string): Promise<string> {
  if (!existsSync(path))
    throw new DataError(
      `${path}: expected a run, a stage of one or its weights, received nothing; correct the path`,
    );
  if (!statSync(path).isDirectory()) return path;
  const arms = await readdir(join(path, "arms")).catch(() => []);
  const folders = [path, join(path, "finetune"), ...arms.map((arm) => join(path, "arms", arm))];
  const found = folders.filter((folder) => weightNames.some((name) => existsSync(join(folder, name))));
  const [only] = found;
  if (only === undefined)
    throw new DataError(
      `${path}: expected ${weightNames.join(" or ")} in a stage of a run, received a folder without; ` +
        "name finetune or arms/<name> of a run that is done",
    );
  if (found.length > 1)
    throw new UsageError(
      `${path}: expected a folder with one model, received a run with ${found.length}; name one of ${found.join(", ")}`,
    );
  const name = weightNames.find((file) => existsSync(join(only, file))) ?? weightNames[0];
  return join(only, name);
}

/** The configuration of the run folder that a file, or a folder, lies in. */
export function configAround(path: string): Config | undefined {
  for (const folder of foldersAround(path)) {
    const record = readRunRecord(folder);
    if (record !== undefined) return configSchema.safeParse(record.config).data;
  }
  return undefined;
}

/** Folders around a file, as many as there are between an arm's weights and their run folder. */
export function foldersAround(path: string): string[] {
  const own = dirname(resolve(path));
  return [own, dirname(own), dirname(dirname(own))];
}
