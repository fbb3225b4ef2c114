import { DataError, SfrError } from "./errors.js";

/** The first line of an error's message. */
export function messageOf(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return line;
}

/** Whether an error concerns one input only, so that other cases can go on. */
export function isCaseError(error: unknown): boolean {
  return error instanceof SfrError && ["data", "shape", "dtype"].includes(error.code);
}

/** Puts the path of a file in front of what is wrong with its content, where the message does not name it. */
export async function namingFile<T>(path: string, load: Promise<T>): Promise<T> {
  try {
    return await load;
  } catch (error) {
    if (!isCaseError(error) || messageOf(error).includes(path)) throw error;
    throw new DataError(`${path}: ${messageOf(error)}`, { cause: error });
  }
}
