import type { SegmenterNetwork } from "./segmenter.js";
import { unet3d, unet3dScales } from "./unet3d.js";
import { vnet, vnetScales } from "./vnet.js";

/** Networks by their names in `segmenter.model`. */
export const segmenters = {
  vnet: { title: "V-Net", longestSide: 16, build: vnet, buildScales: vnetScales },
  // Of one voxel at the bottleneck instance-norm would leave 0.
  unet3d: { title: "3D U-Net", longestSide: 32, build: unet3d, buildScales: unet3dScales },
} as const satisfies Record<string, SegmenterNetwork>;

export type SegmenterModel = keyof typeof segmenters;
