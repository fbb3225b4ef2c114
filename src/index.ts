/** Public face of the toolkit. Rooms have sub-paths of their own in the sources; these are the names to build on. */
export type { Config, Voxels } from "./config/schema.js";
export { configSchema } from "./config/schema.js";
export { openDataset } from "./data/cases.js";
export { type PreparedCase, prepareCase, prepareImage } from "./data/prepare.js";
export { splitCases } from "./data/splits.js";
export type { ImageVolume, LabelVolume, Volume } from "./data/volume.js";
export { readImage, readLabels, writeLabels } from "./data/volume-file.js";
export {
  CancelledError,
  DataError,
  DeviceError,
  DisposedError,
  DtypeError,
  type ErrorCode,
  SfrError,
  ShapeError,
  UsageError,
} from "./errors.js";
export { type FinetuneOptions, finetune } from "./finetune/finetune.js";
export { SamLabeller } from "./finetune/sam-labeller.js";
export { Graph, Program, Value } from "./graph/graph.js";
export * as layers from "./graph/layers.js";
export * as ops from "./graph/ops.js";
export { WeightSet } from "./graph/weights.js";
export { configureEngine, engineInfo } from "./native/native.js";
export { Tensor } from "./native/tensor.js";
export { onnxRuntime } from "./onnxruntime/runtime.js";
export { OnnxSession, type OnnxSessionOptions } from "./onnxruntime/session.js";
export { Segmenter } from "./predict/segmenter.js";
export { type SlidingWindowOptions, slidingWindow } from "./predict/sliding-window.js";
export type { WindowModel } from "./predict/window-model.js";
export type { Method } from "./retrain/methods/method.js";
export { type RetrainOptions, retrain } from "./retrain/retrain.js";
export { stitchGeometry } from "./stitch/geometry.js";
