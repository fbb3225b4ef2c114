import { magicnet } from "./magicnet.js";
import type { SegmenterNetwork } from "./segmenter.js";
import { unet3d } from "./unet3d.js";
import { vnet } from "./vnet.js";

/** Networks by their names in `segmenter.model`. */
export const segmenters = { vnet, unet3d, magicnet } as const satisfies Record<string, SegmenterNetwork>;

export type SegmenterModel = keyof typeof segmenters;
