/** What a bench asks of an implementation: ours, or a peer's. Extents are (x, y, z) = the peers' (H, W, D). */
import { z } from "zod";
import { stitchGeometry } from "../src/stitch/geometry.js";

/** Absent: f32. */
const precision = z.enum(["f32", "bf16"]).optional();
const extents = z.tuple([z.int(), z.int(), z.int()]);
const segmenter = { model: z.enum(["vnet", "unet3d"]), patch: extents, filters: z.int(), classes: z.int() };
const sam = {
  model: z.enum(["tiny", "vit_b", "vit_l", "vit_h"]),
  canvas: z.int(),
  classes: z.int(),
  batch: z.int(),
  rank: z.int(),
  precision,
};

const segmenterTraining = {
  ...segmenter,
  batch: z.int(),
  method: z.enum(["supervised", "mean-teacher"]),
  precision,
};

/** The work of one case; the fields beside `work` are what the peer of that name takes as its case. */
export const requestSchema = z.discriminatedUnion("work", [
  z.strictObject({ work: z.literal("gemm"), size: z.int() }),
  z.strictObject({ work: z.literal("bandwidth"), elements: z.int() }),
  z.strictObject({ work: z.literal("segmenter-train"), ...segmenterTraining }),
  z.strictObject({
    work: z.literal("method-train"),
    ...segmenter,
    model: z.enum(["vnet", "magicnet"]),
    method: z.enum(["mean-teacher", "ua-mt", "acmt-ent", "magicnet"]),
  }),
  z.strictObject({
    work: z.literal("exchange-train"),
    segmenter: z.strictObject(segmenterTraining),
    sam: z.strictObject(sam),
  }),
  z.strictObject({ work: z.literal("segmenter-infer"), ...segmenter, batch: z.int() }),
  z.strictObject({ work: z.literal("segmenter-volume"), ...segmenter, volume: extents, stride: extents }),
  z.strictObject({ work: z.literal("sam-train"), ...sam }),
  z.strictObject({ work: z.literal("sam-infer"), ...sam }),
  z.strictObject({
    work: z.literal("batch"),
    ...{ model: sam.model, canvas: sam.canvas, classes: sam.classes },
    patch: extents,
    volume: extents,
    /** Files that a run labels; its time is that of all of them. */
    volumes: z.int(),
    /** Absent: the native one; else ONNX Runtime through its C interface or onnxruntime-node. */
    engine: z.enum(["c", "node"]).optional(),
    /** Processes of one thread each that share the files, their starts included; absent: one with all threads. */
    processes: z.int().optional(),
  }),
  z.strictObject({
    work: z.literal("stitch"),
    patch: extents,
    canvas: z.int(),
    volumes: z.int(),
    /** stitch: volumes to canvases; unstitch: back. */
    direction: z.enum(["stitch", "unstitch"]),
  }),
  z.strictObject({ work: z.literal("bezier"), patch: extents }),
  z.strictObject({
    work: z.literal("metrics"),
    shape: extents,
    spacing: z.tuple([z.number(), z.number(), z.number()]).nullable(),
  }),
]);

export type BenchRequest = z.infer<typeof requestSchema>;
/** The request of one kind of work. */
export type RequestOf<Work extends BenchRequest["work"]> = Extract<BenchRequest, { work: Work }>;

/** The JSON that a peer script takes as its case. */
export function peerRequest(request: BenchRequest): Record<string, unknown> {
  const { work, ...rest } = request;
  if (work !== "stitch" && work !== "batch") return rest;
  const { patch, canvas } = request;
  const g = stitchGeometry({ patch, canvas });
  const geometry = {
    rows: g.rows,
    cols: g.cols,
    pad_row: g.padY,
    pad_col: g.padX,
    pad_depth: g.frontSlices,
    margin_row: g.marginY,
    margin_col: g.marginX,
  };
  return { ...rest, geometry };
}
