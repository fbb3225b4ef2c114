import { mkdir } from "node:fs/promises";
import { Cropper } from "../data/augment.js";
import type { PreparedCase } from "../data/prepare.js";
import { Graph } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { encodePng, type Picture } from "../io/png.js";
import { Tensor } from "../native/tensor.js";
import { stitchImage, stitchLabels } from "../stitch/canvases.js";
import type { InputPlan } from "../stitch/input-plan.js";
import { renderCanvas } from "../viewer/canvas-preview.js";
import type { StageKeys } from "./keys.js";
import { type RunContext, runPaths, runStage } from "./stage.js";
import { loadSam } from "./training-stages.js";

/** Canvas previews, as paths relative to the run folder, with captions. */
export const canvasPictures = [
  {
    path: `${runPaths.pictures}/canvas-reference.png`,
    caption: "Middle patch of the first labelled case, reference",
  },
  { path: `${runPaths.pictures}/canvas-sam.png`, caption: "The same patch, labelled by the fine-tuned SAM" },
] as const;

/** Draws what SAM sees: the middle patch of the first labelled case as a canvas, with reference and SAM's labels. */
export async function canvasPictureStage(context: RunContext, keys: StageKeys): Promise<void> {
  const { config, folder, cases, signal } = context;
  const paths = canvasPictures.map(({ path }) => folder.file(path));
  const spec = { name: "canvas-pictures", key: keys.finetune(), owns: paths, results: paths };
  await runStage(context, spec, async () => {
    await mkdir(folder.file(runPaths.pictures), { recursive: true });
    const [first] = await cases.labelled();
    if (first?.label === undefined) return undefined;
    const crop = { image: await middlePatch(first, "image"), label: await middlePatch(first, "label") };
    using image = crop.image;
    using reference = crop.label;
    using sam = await loadSam(context);
    using predicted = await sam.labelCrops(image, signal);
    for (const [index, labels] of [reference, predicted].entries()) {
      const picture = await drawCanvas(image, labels, sam.plan, sam.classes);
      const { pixels, width, height, channels } = picture;
      await writeFileAtomic(paths[index] ?? "", encodePng(pixels, width, height, channels));
    }
    return undefined;
  });

  /** [1, D, H, W] of the patch's extents; outside the volume zeros. */
  async function middlePatch(prepared: PreparedCase, part: "image" | "label"): Promise<Tensor> {
    const volume = part === "image" ? prepared.image : (prepared.label ?? prepared.image);
    const [px, py, pz] = config.patch;
    const [depth = 0, height = 0, width = 0] = volume.shape;
    const middle = (extent: number, size: number) => Math.floor((extent - size) / 2);
    const target = Tensor.zeros(volume.dtype, [1, pz, py, px]);
    using cropper = new Cropper(config.patch);
    const corner = [middle(width, px), middle(height, py), middle(depth, pz)] as const;
    await cropper.into(target, 0, volume, { corner, turns: 0, flip: 0 });
    return target;
  }
}

/** The first canvas of the middle part of a crop f32 [1, D, H, W] with labels u8 [1, D, H, W]. */
async function drawCanvas(image: Tensor, labels: Tensor, plan: InputPlan, classes: number): Promise<Picture> {
  const [depth, slices] = [image.shape[1] ?? 0, plan.part[2]];
  const graph = new Graph();
  const middle = (name: string, { dtype, shape }: Tensor) => {
    const first = Math.floor((depth - slices) / 2);
    return ops.slice(graph.input(name, dtype, shape), 1, first, first + slices);
  };
  const lowest = image.f32.reduce((low, value) => Math.min(low, value), 0);
  using program = graph.compile({
    image: stitchImage(middle("image", image), plan, lowest),
    labels: stitchLabels(middle("labels", labels), plan, classes),
  });
  const stitched = await program.run({ image, labels });
  const { canvas } = plan.geometry;
  const pixels = canvas * canvas;
  return renderCanvas({
    image: stitched.image.f32.subarray(0, pixels),
    labels: stitched.labels.u8.subarray(0, pixels),
    width: canvas,
    height: canvas,
  });
}
