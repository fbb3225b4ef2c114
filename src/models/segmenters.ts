import type { SegmenterNetwork } from "./segmenter.js";
import { unet3d, unet3dScales } from "./unet3d.js";
import { vnet, vnetScales } from "./vnet.js";

/** Networks by their names in `segmenter.model`. */
export const segmenters = {
  vnet: {
    title: "V-Net",
    longestSide: 16,
    firstWeight: "block_one.conv.0.weight",
    headWeight: "out_conv.weight",
    build: vnet,
    buildScales: vnetScales,
  },
  unet3d: {
    title: "3D U-Net",
    // Of one voxel at the bottleneck instance-norm would leave 0.
    longestSide: 32,
    firstWeight: "conv1.conv1.0.weight",
    headWeight: "dsv1.weight",
    build: unet3d,
    buildScales: unet3dScales,
  },
} as const satisfies Record<string, SegmenterNetwork>;

export type SegmenterModel = keyof typeof segmenters;
