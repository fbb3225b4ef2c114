import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { colorTable, namesInColorTable, type Segment } from "../data/segments.js";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { labelColor } from "../viewer/colors.js";
import type { ModelCard } from "./model-card.js";

type Legend = Pick<ModelCard, "labelIds" | "labelNames" | "labelColors">;

/** Every class but the background; what the data set does not name or colour is called by its id, as in our pictures. */
export function segmentsOfLegend({ labelIds, labelNames, labelColors }: Legend): Segment[] {
  return labelIds.slice(1).map((id) => ({
    id,
    name: labelNames[id] ?? `label ${id}`,
    color: labelColors[id] ?? labelColor(id),
  }));
}

const tableFile = "labels.ctbl";

/** Writes `labels.ctbl` into a folder of labels. @throws DataError when it cannot be written */
export async function writeColorTable(folder: string, legend: Legend): Promise<void> {
  await writeFileAtomic(join(folder, tableFile), colorTable(segmentsOfLegend(legend)));
}

/** Names by label id in the `labels.ctbl` of a folder; none where it has no such file. @throws DataError when it is damaged */
export async function readColorTableNames(folder: string): Promise<Map<number, string>> {
  const path = join(folder, tableFile);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw new DataError(`${path}: expected a colour table, received ${error.code}; remove or mend it`, {
      cause: error,
    });
  });
  return namesInColorTable(text, path);
}
