import { join } from "node:path";
import { colorTable, type Segment } from "../data/segments.js";
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

/** Writes `labels.ctbl` into a folder of labels. @throws DataError when it cannot be written */
export async function writeColorTable(folder: string, legend: Legend): Promise<void> {
  await writeFileAtomic(join(folder, "labels.ctbl"), colorTable(segmentsOfLegend(legend)));
}
