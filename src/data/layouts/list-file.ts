import { dirname, resolve } from "node:path";
import { DataError } from "../../errors.js";
import { extensions, splitVolumeName } from "../formats/index.js";
import { type Case, type Layout, pathKind } from "./layout.js";
import { type ListLine, readLines } from "./list-lines.js";

/**
 * The root is a text file with lines `id image [label]`; paths are relative to it. Fields are parted by
 * white space, or by tabs alone in a line that has a tab. All cases are training cases; test cases are
 * picked out by id (splits).
 */
export const listFile: Layout = {
  name: "list-file",
  lookedFor: "a text file (.list, .txt, .tsv) with lines 'id image [label]'",
  async detect(root) {
    return /\.(list|txt|tsv)$/i.test(root) && (await pathKind(root)) === "file";
  },
  async list(root) {
    const lines = await readLines(root);
    return { train: lines.map((line) => readCase(root, line)), test: [] };
  },
};

function readCase(list: string, line: ListLine): Case {
  const fields = line.text.includes("\t") ? line.text.split(/\t+/) : line.text.split(/\s+/);
  const [id, image, label, ...more] = fields.map((text) => text.trim());
  if (!id || !image || more.length > 0) {
    throw new DataError(
      `${list}:${line.number}: expected 'id image [label]', received '${line.text}'; correct this line`,
    );
  }
  const at = (path: string): string => resolve(dirname(list), path);
  checkFormat(list, line, image);
  return { id, image: at(image), ...(label && { label: at(label) }) };
}

function checkFormat(list: string, line: ListLine, image: string): void {
  if (splitVolumeName(image)) return;
  throw new DataError(
    `${list}:${line.number}: expected a volume (${extensions.join(", ")}), received '${image}'; convert it`,
  );
}
