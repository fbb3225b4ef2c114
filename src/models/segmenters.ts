import type { SegmenterNetwork } from "./segmenter.js";
import { unet3d } from "./unet3d.js";
import { vnet } from "./vnet.js";

/** Networks by their names in `segmenter.model`. */
export const segmenters = {
  vnet: { title: "V-Net", longestSide: 16, build: vnet },
  // Of one voxel at the bottleneck instance-norm would leave 0.
  unet3d: { title: "3D U-Net", longestSide: 32, build: unet3d },
} as const satisfies Record<string, SegmenterNetwork>;

export type SegmenterModel = keyof typeof segmenters;
