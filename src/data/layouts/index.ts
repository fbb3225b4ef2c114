import { abdomenCt1k } from "./abdomenct-1k.js";
import { bids } from "./bids.js";
import { brats2019 } from "./brats-2019.js";
import { btcv } from "./btcv.js";
import { decathlon } from "./decathlon.js";
import { imagesLabels } from "./images-labels.js";
import { la2018 } from "./la-2018.js";
import type { Layout } from "./layout.js";
import { listFile } from "./list-file.js";
import { mact } from "./mact.js";
import { nnunetRaw } from "./nnunet-raw.js";
import { uaMt } from "./ua-mt.js";

/** Every layout that data sets may have; a new one is a file here and a line in this list. */
export const layouts: readonly Layout[] = [
  imagesLabels, //
  nnunetRaw,
  decathlon,
  bids,
  uaMt,
  la2018,
  brats2019,
  btcv,
  mact,
  abdomenCt1k,
  listFile,
];
