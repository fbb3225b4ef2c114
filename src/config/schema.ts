/**
 * Settings, one schema per group. A schema gives type, default, range and help text; configuration file, command-line
 * flags and reference page come from it. Lengths in voxels are (x, y, z) = the paper's (H, W, D).
 */
import { z } from "zod";

const count = (text: string) => z.int().min(1).describe(text);
const fraction = (text: string) => z.number().min(0).max(1).describe(text);
const voxels = (text: string) => z.tuple([z.int().min(1), z.int().min(1), z.int().min(1)]).describe(text);
const caseChoice = (text: string) =>
  z.union([z.int().min(0), z.literal("all"), z.array(z.string()).min(1)]).describe(text);

const dataSettings = z.strictObject({
  root: z.string().describe("Folder of the data set"),
  layout: z.string().default("auto").describe("Layout of the folder; auto detects it"),
  frame: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe("Which volume of 4D images to take, counted from 0; null: all, as channels"),
  labelled: z
    .union([z.int().min(1), z.array(z.string()).min(1)])
    .describe("Labelled cases: the first n of the training list, or their ids"),
  unlabelled: caseChoice("Unlabelled cases: the next n, all others, or their ids").default("all"),
  test: caseChoice("Test cases: the first n, all, or their ids").default("all"),
  relabel: z
    .record(z.string().regex(/^\d{1,5}$/), z.union([z.int().min(0).max(65535), z.literal("ignore")]))
    .default({})
    .describe(
      "Label ids that count as another one, such as 4: 1, as background (0), or are left out of losses and scores (ignore)",
    ),
  halve: z
    .boolean()
    .default(false)
    .describe("Resample to half resolution: 2x2x2 mean of the image, majority of the labels"),
  samChannel: z
    .int()
    .min(0)
    .default(0)
    .describe("Channel of the images that SAM sees and pictures show, from 0; the segmenter sees all"),
});

const millimetres = z.number().positive();

export const preprocessSettings = z.strictObject({
  cropAbove: z
    .number()
    .nullable()
    .default(null)
    .describe("Crop to the box around all voxels above this intensity, as stored; null: no crop"),
  locator: z
    .string()
    .nullable()
    .default(null)
    .describe(
      "Crop to the box around what a segmenter finds in the whole volume, as a rule one of coarse spacing: a run with one model, an arm of it or its weights; null: no crop",
    ),
  cropMargin: z
    .number()
    .min(0)
    .default(0)
    .describe("Width that is added to the box on every side, mm (voxels where the spacing is not known)"),
  window: z
    .tuple([z.number(), z.number()])
    .nullable()
    .default(null)
    .describe(
      "Intensities below the first and above the second number are set to it, such as -175,250 for CT; null: none",
    ),
  spacing: z
    .union([z.literal("median"), z.tuple([millimetres, millimetres, millimetres])])
    .nullable()
    .default(null)
    .describe(
      "Voxel size that volumes are resampled to, mm, to the right, front and up; median: of the training cases, axis by axis; null: as stored",
    ),
  minimumSlices: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("Volumes with fewer slices are then interpolated to as many; null: never"),
});

export const samSettings = z.strictObject({
  size: z.enum(["tiny", "vit_b", "vit_l", "vit_h"]).default("vit_b").describe("Size of SAM"),
  checkpoint: z
    .string()
    .nullable()
    .default(null)
    .describe("Weights of SAM (.safetensors or .pth); null: random start"),
  lora: z
    .string()
    .nullable()
    .default(null)
    .describe("LoRA updates of that SAM to start from: a file of this program, the SFR authors or SAMed"),
  train: z
    .enum(["auto", "all", "decoder", "lora", "adapter"])
    .default("auto")
    .describe(
      "What trains: every weight (all), the mask decoder alone (decoder), or with prompt encoder and mask decoder LoRA updates (lora) or bottleneck adapters (adapter) of the frozen encoder; auto: LoRA with a checkpoint, all without",
    ),
  rank: z.int().min(1).max(64).default(4).describe("Rank of the LoRA updates"),
  targets: z
    .array(z.enum(["q", "k", "v", "proj", "mlp"]))
    .min(1)
    .default(["q", "v"])
    .describe("What LoRA updates in every encoder block; q and v as in the paper's code"),
  adapterRatio: z
    .number()
    .positive()
    .max(1)
    .default(0.25)
    .describe("Width of the adapters' bottleneck, in parts of the encoder's"),
  input: z
    .enum(["native", "square", "scale", "upsample", "small-size"])
    .default("native")
    .describe(
      "How SAM sees a crop. Stitched slices of their own size: native (as many tiles as fit a canvas), square (ceil(sqrt(D)) tiles a side); resized: scale (scale tiles a side). One slice a canvas: upsample (resized to all of it), small-size (its own size)",
    ),
  scale: z.int().min(1).max(12).default(9).describe("Tiles a side with input: scale"),
  canvas: z
    .int()
    .min(16)
    .multipleOf(16)
    .default(1024)
    .describe("Side of SAM's canvas, pixels; small-size: made from the patch"),
});

export const finetuneSettings = z.strictObject({
  steps: z.int().min(0).describe("Training steps T; 0: SAM as it was loaded").default(6000),
  batch: count(
    "Labelled crops per step; each is stitched to one canvas, or to several when its slices need them",
  ).default(2),
  learningRate: z
    .number()
    .positive()
    .default(1e-3)
    .describe("AdamW learning rate at the start; falls as (1 - t/T)^0.9"),
  weightDecay: z.number().min(0).default(0.1).describe("AdamW weight decay, on every trained tensor"),
  warmup: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe(
      "Steps of linear warm-up; null: T/24 from a random start (250 of 6000), none from a checkpoint",
    ),
  intensityMap: fraction("Probability of a Bezier intensity map, per slice").default(0.5),
  rotateCanvas: z.boolean().default(true).describe("Rotate and flip whole canvases"),
  disruption: z
    .enum(["none", "shuffled", "turned", "natural"])
    .default("none")
    .describe(
      "What disturbs the slices of a crop in training, never in labelling: their order (shuffled), a rotation and flip of each (turned), or natural images in place of all but one at first, of none at the end (natural)",
    ),
  naturalImages: z
    .string()
    .nullable()
    .default(null)
    .describe("Folder of PNG files, 8-bit gray or RGB, for disruption: natural"),
});

export const segmenterSettings = z.strictObject({
  model: z
    .enum(["vnet", "unet3d", "magicnet"])
    .default("vnet")
    .describe("Network that is re-trained and kept"),
  filters: count("Channels of the first level").default(16),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .default(0.5)
    .describe(
      "Probability of dropping a channel: vnet at the bottleneck and before the head; unet3d after the coarsest level of the decoder, and 0.6, 0.4 and 0.2 of it after the others; magicnet: none",
    ),
});

export const retrainSettings = z.strictObject({
  steps: count("Training steps T").default(6000),
  labelledBatch: count("Labelled crops per step").default(2),
  unlabelledBatch: count("Unlabelled crops per step").default(2),
  learningRate: z.number().positive().default(0.01).describe("SGD learning rate at the start"),
  momentum: fraction("SGD momentum").default(0.9),
  weightDecay: z.number().min(0).default(1e-4).describe("SGD weight decay, on every trained tensor"),
  schedule: z
    .enum(["step", "poly"])
    .default("step")
    .describe("step: x0.1 at 5/12 and 10/12 of T; poly: (1 - t/T)^0.9"),
  consistency: z
    .number()
    .min(0)
    .default(0.1)
    .describe("Largest consistency weight; ramps up in 40 stairs over T"),
  emaDecay: fraction("Decay of the teacher's moving average").default(0.99),
  rotateCrops: z.boolean().default(true).describe("Rotate and flip crops in the x-y plane"),
});

export const exchangeSettings = z.strictObject({
  steps: count("Steps of the exchange T, after those of stages 2 and 3").default(2000),
  threshold: fraction(
    "tau: an unlabelled crop of at least this confidence fine-tunes SAM, another one re-trains the segmenter",
  ).default(0.985),
  confidence: z
    .enum(["all", "foreground"])
    .default("all")
    .describe(
      "Whose confidence is held against tau: mean over all voxels (the paper), or over predicted foreground",
    ),
  consistency: z
    .enum(["all", "unsure"])
    .default("all")
    .describe("Unlabelled crops in the method's own term: all, or only those below tau"),
  samTarget: z
    .enum(["all", "sure"])
    .default("all")
    .describe("Voxels of the segmenter's label that teach SAM: all, or those of at least the confidence tau"),
  segmenterRate: z
    .number()
    .min(0)
    .default(0.1)
    .describe("Learning rate at the start, in parts of retrain.learningRate; falls as (1 - t/T)^0.9"),
  samRate: z
    .number()
    .min(0)
    .default(0.1)
    .describe("SAM's learning rate at the start, in parts of finetune.learningRate; falls as (1 - t/T)^0.9"),
  optimizers: z
    .enum(["continued", "fresh"])
    .default("continued")
    .describe("Momentum and moments: those at the end of stages 2 and 3, or zero"),
  replay: z
    .string()
    .nullable()
    .default(null)
    .describe("exchange.csv of another run whose routes are taken instead of those by confidence"),
});

export const predictSettings = z.strictObject({
  stride: voxels("Stride of the sliding window")
    .nullable()
    .default(null)
    .describe("Stride of the sliding window; null: patch/4"),
});

const armSettings = z.strictObject({
  name: z.string().optional().describe("Name in tables; by default made from method and pseudo-labels"),
  method: z
    .enum([
      "labelled-only",
      "self-training",
      "mean-teacher",
      "mean-teacher-unlabelled",
      "entropy-minimisation",
      "ua-mt",
      "cps",
      "ict",
      "urpc",
      "dtc",
      "cct",
      "bcp",
      "ss-net",
      "magicnet",
      "magicnet-released",
      "acmt-ent",
      "acmt-mu",
      "acmt-serr",
      "acmt-perr",
      "sam",
    ])
    .describe("Re-training method; sam: no re-training, the fine-tuned SAM alone"),
  pseudoLabels: z
    .enum(["sam", "none", "exchange"])
    .default("none")
    .describe(
      "Whose pseudo-labels the unlabelled crops get; sam: SAM's, or those of the folder in pseudoLabels; exchange: SFR+, after the arm with sam",
    ),
  rounds: z
    .int()
    .min(0)
    .default(0)
    .describe(
      "Iterative self-training: how often the segmenter trained so far labels the unlabelled volumes and a new one is trained on them; without SAM's pseudo-labels the first learns from the labelled cases alone",
    ),
});

export const configSchema = z.strictObject({
  name: z.string().min(1).describe("Name of the run"),
  data: dataSettings,
  preprocess: preprocessSettings.prefault({}),
  patch: voxels("Crop a training step works on"),
  sam: samSettings.prefault({}),
  finetune: finetuneSettings.prefault({}),
  segmenter: segmenterSettings.prefault({}),
  retrain: retrainSettings.prefault({}),
  pseudoLabels: z
    .string()
    .min(1)
    .default("per-crop")
    .describe(
      "per-crop: SAM labels each augmented crop (the paper); per-volume: each volume once, cached; else a folder with a label file for each unlabelled case, made by any tool",
    ),
  exchange: exchangeSettings.prefault({}),
  predict: predictSettings.prefault({}),
  arms: z.array(armSettings).min(1).describe("What to train and compare, with the same data and steps"),
  precision: z
    .enum(["f32", "bf16"])
    .default("f32")
    .describe(
      "bf16: half the memory for the encoder's weights under LoRA and for what a segmenter's step keeps, on a device for activations, faster products where the processor has them; another result than f32",
    ),
  checkpointEvery: count("Steps between checkpoints").default(100),
  seed: z.int().min(0).default(1).describe("Seed of everything random"),
});

export type Config = z.infer<typeof configSchema>;
export type DataSettings = z.infer<typeof dataSettings>;
export type PreprocessSettings = z.infer<typeof preprocessSettings>;
export type SamSettings = z.infer<typeof samSettings>;
export type FinetuneSettings = z.infer<typeof finetuneSettings>;
export type SegmenterSettings = z.infer<typeof segmenterSettings>;
export type RetrainSettings = z.infer<typeof retrainSettings>;
export type ExchangeSettings = z.infer<typeof exchangeSettings>;
export type PredictSettings = z.infer<typeof predictSettings>;
export type ArmSettings = z.infer<typeof armSettings>;
/** Extents along x, y, z. */
export type Voxels = readonly [number, number, number];
