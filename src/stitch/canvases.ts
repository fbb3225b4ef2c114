import { gapClass } from "../data/label-table.js";
import type { Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { InputPlan } from "./input-plan.js";

/** Value of gaps in a stitched image: the mean of a z-scored volume. */
export const gapImage = 0;

/** Parts of crops f32 [N, d, H, W] -> canvases [N * canvases, S, S]; slices are resized bilinearly where the plan does. */
export function stitchImage(parts: Value, plan: InputPlan, gap = gapImage): Value {
  const [n, depth] = [parts.dim(0), parts.dim(1)];
  const slices = resized(ops.reshape(parts, [...parts.shape, 1]), plan, "to-canvas");
  return ops.stitch(ops.reshape(slices, [n, depth, slices.dim(2), slices.dim(3)]), plan.geometry, gap);
}

/**
 * Labels of parts u8 [N, d, H, W] -> [N * canvases, S, S], gapClass in gaps. A resized slice gets the class with the
 * largest share of a pixel by the same interpolation; a pixel is ignored (255) when all that it is made from is.
 */
export function stitchLabels(parts: Value, plan: InputPlan, classes: number): Value {
  if (!isResized(plan)) return ops.stitch(parts, plan.geometry, gapClass);
  const shares = resized(ops.oneHot(parts, classes), plan, "to-canvas");
  return ops.stitch(ops.selectLabels(ops.argmax(shares), ops.rowMax(shares)), plan.geometry, gapClass);
}

/** Canvases [N * canvases, S, S, K] -> parts [N, d, H, W, K]; resized slices go back bilinearly. */
export function unstitchLogits(canvases: Value, plan: InputPlan): Value {
  return resized(ops.unstitch(canvases, plan.geometry), plan, "to-crop");
}

function isResized({ part, geometry }: InputPlan): boolean {
  return part[0] !== geometry.sliceWidth || part[1] !== geometry.sliceHeight;
}

/** Slices [N, d, h, w, C] at the size that they have on the canvas, or in the crop. */
function resized(slices: Value, plan: InputPlan, way: "to-canvas" | "to-crop"): Value {
  if (!isResized(plan)) return slices;
  const { geometry, part } = plan;
  const [n, depth, channels] = [slices.dim(0), slices.dim(1), slices.dim(4)];
  const [height, width] =
    way === "to-canvas" ? [geometry.sliceHeight, geometry.sliceWidth] : [part[1], part[0]];
  const flat = ops.reshape(slices, [n * depth, slices.dim(2), slices.dim(3), channels]);
  return ops.reshape(ops.resizeBilinear(flat, [height, width]), [n, depth, height, width, channels]);
}
