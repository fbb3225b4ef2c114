import { SfrError } from "../errors.js";

/** The first line of an error's message. */
export function messageOf(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return line;
}

/** Whether an error concerns one input only, so that other cases can go on. */
export function isCaseError(error: unknown): boolean {
  return error instanceof SfrError && ["data", "shape", "dtype"].includes(error.code);
}
