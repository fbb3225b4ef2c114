/** What the benches run: one list for us and for the peers. */
import { UsageError } from "../src/errors.js";
import {
  type BenchCase,
  batchCase,
  engineCase,
  exchangeCase,
  gigabyte,
  inBf16,
  inferCase,
  inOnnxRuntime,
  large,
  methodCase,
  samBf16Settings,
  samCase,
  segmenterBf16Settings,
  small,
  stitchCase,
  trainCase,
  v3,
  volumeCase,
  workersCase,
} from "./case.js";

export const benchNames = [
  "vnet-train",
  "vnet-train-v3",
  "vnet-infer",
  "vnet-volume",
  "unet3d-train",
  "unet3d-infer",
  "methods",
  "sam-train",
  "sam-large",
  "sam-infer",
  "batch",
  "engines",
  "workers",
  "vnet-layers",
  "sam-ops",
  "stitch",
  "bezier",
  "metrics",
] as const;
export type BenchName = (typeof benchNames)[number];

const tinyCohort = batchCase("tiny", 512, [small, [96, 96, 48]], 6, 2); // 8 windows each
const vitBCohort = batchCase("vit_b", 1024, [large, [168, 112, 80]], 3, 7, { smaller: "tiny-512-6-volumes" }); // 2 windows each

const lists: Readonly<Record<BenchName, readonly BenchCase[]>> = {
  "vnet-train": [
    trainCase("vnet", small, 1.5),
    trainCase("vnet", small, 1.5, { method: "mean-teacher" }),
    trainCase("vnet", large, 6, { smaller: "64x64x32" }),
    trainCase("vnet", large, 6, { method: "mean-teacher", smaller: "64x64x32-mean-teacher" }),
    inBf16(trainCase("vnet", large, 6), segmenterBf16Settings),
    trainCase("vnet", [96, 96, 96], 6, { smaller: "64x64x32" }),
    trainCase("vnet", [32, 32, 32], 1),
  ],
  "vnet-train-v3": [
    trainCase("vnet", small, 1.5, v3),
    trainCase("vnet", large, 6, { ...v3, smaller: "64x64x32" }),
  ],
  "vnet-infer": [inferCase("vnet", small, 1), inferCase("vnet", large, 2, { smaller: "64x64x32" })],
  "vnet-volume": [
    volumeCase("vnet", [80, 80, 40], small, 1), // 12 windows
    volumeCase("vnet", [176, 144, 88], large, 2), // 45 windows
  ],
  "unet3d-train": [
    trainCase("unet3d", small, 2),
    trainCase("unet3d", [96, 96, 96], 10, { smaller: "64x64x32" }),
    trainCase("unet3d", large, 11, { smaller: "64x64x32" }),
  ],
  "unet3d-infer": [inferCase("unet3d", small, 1), inferCase("unet3d", large, 3, { smaller: "64x64x32" })],
  methods: [
    methodCase("mean-teacher", small, 1.5),
    methodCase("ua-mt", small, 1.5),
    methodCase("acmt-ent", small, 1.5),
    methodCase("magicnet", [64, 64, 64], 4),
    exchangeCase(small, ["tiny", 512], 2),
    methodCase("mean-teacher", large, 6, "mean-teacher-64x64x32"),
    methodCase("ua-mt", large, 6, "ua-mt-64x64x32"),
    methodCase("acmt-ent", large, 6, "acmt-ent-64x64x32"),
    methodCase("magicnet", [96, 96, 96], 16, "magicnet-64x64x64"),
    exchangeCase(large, ["vit_b", 1024], 20, "sfr-plus-64x64x32-tiny-512"),
  ],
  "sam-train": [
    samCase("sam-train", "tiny", 512, 1.5),
    samCase("sam-train", "vit_b", 512, 3),
    samCase("sam-train", "vit_b", 1024, 10, { smaller: "vit_b-512", runs: 3 }),
    inBf16(samCase("sam-train", "vit_b", 1024, 10, { runs: 3 }), samBf16Settings),
    samCase("sam-train", "vit_b", 1024, 18, { smaller: "vit_b-1024", runs: 3, batch: 2 }),
  ],
  // Has no peer: those of SAM know tiny and vit_b only, and would need several times our memory.
  "sam-large": [
    samCase("sam-train", "vit_l", 1024, 0, { runs: 1, settings: [] }),
    samCase("sam-train", "vit_h", 1024, 0, { runs: 1, settings: [] }),
  ],
  "sam-infer": [
    samCase("sam-infer", "tiny", 512, 1.5),
    samCase("sam-infer", "vit_b", 512, 2),
    samCase("sam-infer", "vit_b", 1024, 6, {
      smaller: "vit_b-512",
      settingBytes: { onnxruntime: 23 * gigabyte },
    }),
    inBf16(samCase("sam-infer", "vit_b", 1024, 6), samBf16Settings),
  ],
  batch: [tinyCohort, vitBCohort, inOnnxRuntime(tinyCohort), inOnnxRuntime(vitBCohort)],
  engines: [
    engineCase("tiny", 512, small),
    engineCase("tiny", 512, small, "c"),
    engineCase("tiny", 512, small, "node"),
    engineCase("vit_b", 1024, large),
    engineCase("vit_b", 1024, large, "c"),
    engineCase("vit_b", 1024, large, "node"),
  ],
  workers: [workersCase(1), workersCase(2)],
  // Parts of a step have no peer of their own: what they add up to is held against peers by vnet-train and sam-train.
  "vnet-layers": [
    {
      ...trainCase("vnet", large, 0),
      settings: [],
      profile: "layers",
    },
  ],
  "sam-ops": [{ ...samCase("sam-train", "vit_b", 1024, 0, { settings: [] }), profile: "ops" }],
  // Two patches are a training step's and stay in the caches; sixteen do not.
  stitch: [
    stitchCase(2, "stitch", 100),
    stitchCase(2, "unstitch", 100),
    stitchCase(16, "stitch", 20),
    stitchCase(16, "unstitch", 20),
  ],
  bezier: [
    {
      name: "112x112x80",
      request: { work: "bezier", patch: [112, 112, 80] },
      settings: ["default"],
      tolerance: 1e-6, // NumPy computes in f64; our control points and results are f32
      peerBytes: gigabyte,
    },
  ],
  metrics: [
    {
      name: "240x160x88",
      request: { work: "metrics", shape: [240, 160, 88], spacing: [0.625, 0.625, 0.625] },
      settings: ["default", "all"],
      tolerance: 1e-6, // medpy computes in f64, our distances are f32
      peerBytes: gigabyte,
    },
  ],
};

/** The matrix product that `share_of_sgemm` relates to. */
export const sgemmCase: BenchCase = {
  name: "4096",
  request: { work: "gemm", size: 4096 },
  settings: ["default"],
  tolerance: 0,
  peerBytes: gigabyte,
};

/** The pass over memory that `share_of_bandwidth` relates to: two tensors of 256 MB. */
export const bandwidthCase: BenchCase = {
  name: "256MB",
  request: { work: "bandwidth", elements: 64e6 },
  settings: [],
  tolerance: 0,
  peerBytes: 0,
};

/**
 * The cases of a bench, or the one called `only`.
 *
 * @throws UsageError when there is no bench or no case of that name
 */
export function benchCases(name: string, only?: string): readonly BenchCase[] {
  const bench = benchNames.find((known) => known === name);
  if (bench === undefined)
    throw new UsageError(`bench: expected one of ${benchNames.join(", ")} for NAME, received '${name}'`);
  const list = lists[bench];
  if (only === undefined) return list;
  const found = list.filter((item) => item.name === only);
  if (found.length === 0)
    throw new UsageError(
      `bench ${bench}: expected one of ${list.map((item) => item.name).join(", ")} for --case, received '${only}'`,
    );
  return found;
}
