import type { Voxels } from "./schema.js";

/** Side of a token's patch in SAM, pixels: a canvas is a multiple of it. */
const tokenSide = 16;

/** Side of the canvas that holds one slice of a patch at its own size, pixels. */
export function smallCanvas([x, y]: Voxels): number {
  return tokenSide * Math.ceil(Math.max(x, y) / tokenSide);
}
