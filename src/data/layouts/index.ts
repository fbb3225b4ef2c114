import { bids } from "./bids.js";
import { decathlon } from "./decathlon.js";
import { imagesLabels } from "./images-labels.js";
import type { Layout } from "./layout.js";
import { listFile } from "./list-file.js";
import { nnunetRaw } from "./nnunet-raw.js";
import { uaMt } from "./ua-mt.js";

/** Every layout that data sets may have; a new one is a file here and a line in this list. */
export const layouts: readonly Layout[] = [
  imagesLabels, //
  nnunetRaw,
  decathlon,
  bids,
  uaMt,
  listFile,
];
