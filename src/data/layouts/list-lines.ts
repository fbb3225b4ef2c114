import { readFile } from "node:fs/promises";
import { DataError } from "../../errors.js";

/** A line of a list file that says something. */
export interface ListLine {
  /** 1 for the first line of the file. */
  readonly number: number;
  /** Without white space at the ends. */
  readonly text: string;
}

/** Lines of a text file without empty ones and those that begin with `#`. @throws DataError */
export async function readLines(path: string): Promise<ListLine[]> {
  const content = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${path}: expected a readable list, received ${error.code}; check the path`, {
      cause: error,
    });
  });
  return content
    .split("\n")
    .map((line, i) => ({ number: i + 1, text: line.trim() }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
}
