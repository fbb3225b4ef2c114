/** What the benches run: one list for us and for the peers. Extents are (x, y, z) = the peers' (H, W, D). */
import { UsageError } from "../src/errors.js";
import type { SamSize } from "../src/models/sam/config.js";
import type { ProfileKind } from "./profile.js";
import type { BenchRequest, RequestOf } from "./requests.js";

/** One case of a bench. */
export interface BenchCase {
  readonly name: string;
  readonly request: BenchRequest;
  /** Settings of the peer script `bench/peers/<work>.py`; the first one's result is the one ours is held against. */
  readonly settings: readonly string[];
  /** Largest error against the peer (check.ts) before a result counts as wrong. */
  readonly tolerance: number;
  /** SIMD level that both sides are held to; default: each uses the best one of the machine. */
  readonly simd?: "v3";
  /** Memory that a peer needs, bytes, as measured with PyTorch 2.13. */
  readonly peerBytes: number;
  /** Memory of settings that need more than the others, bytes. */
  readonly settingBytes?: Readonly<Record<string, number>>;
  /** Name of the case to time instead where a peer does not fit the memory. */
  readonly smaller?: string;
  /** Whether the run is split into its parts, each of which gets a line of its own. */
  readonly profile?: ProfileKind;
  /** Timed runs; default 5. Fewer only where a run of a peer takes more than 20 s, more where one is over in no time. */
  readonly runs?: number;
}

type SegmenterModel = RequestOf<"segmenter-train">["model"];
type Extents = [number, number, number];

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

// Two f32 implementations of a network of 30 to 60 layers differ by 1e-6 to 1e-4 of the logits' size; a fault moves them
// by more than a hundredth.
const networkTolerance = 1e-3;
// bf16 has 8 bits: its networks differ from f32 ones by a few hundredths, ours and the peers' alike.
const bf16Tolerance = 0.2;
const gigabyte = 1e9;

const segmenterSettings = [
  "default",
  "channels-last",
  "compiled",
  "no-heads",
  "channels-last,no-heads",
  "channels-last,compiled,no-heads",
];
const samSettings = ["default", "compiled", "sdpa", "sdpa,compiled"];
/** ONNX Runtime runs networks, it does not train them. */
const samInferSettings = [...samSettings, "onnxruntime"];
/** Held against f32, so that the error is what bf16 costs; beside the best f32 setting. */
const samBf16Settings = [
  "default",
  "sdpa,compiled",
  "bf16",
  "bf16,sdpa",
  "bf16,compiled",
  "bf16,sdpa,compiled",
];
const segmenterBf16Settings = [
  "default",
  "channels-last,compiled,no-heads",
  "bf16,channels-last,no-heads",
  "bf16,channels-last,compiled,no-heads",
];
const small: Extents = [64, 64, 32];
const large: Extents = [112, 112, 80];

/** Held to AVX2; the peers' default and their best, as the others take minutes there. */
const v3 = {
  simd: "v3",
  settings: ["default", "channels-last,no-heads", "channels-last,compiled,no-heads"],
} as const;

/** What the cases of a segmenter may differ in, beside their size. */
type SegmenterOptions = Partial<Pick<BenchCase, "smaller" | "simd" | "settings">> & {
  method?: RequestOf<"segmenter-train">["method"];
};

/** A training step of a batch of 4. */
function trainCase(
  model: SegmenterModel,
  patch: Extents,
  gigabytes: number,
  { method = "supervised", ...rest }: SegmenterOptions = {},
): BenchCase {
  return {
    name: `${patch.join("x")}${method === "supervised" ? "" : `-${method}`}`,
    request: { work: "segmenter-train", model, patch, batch: 4, filters: 16, classes: 2, method },
    settings: segmenterSettings,
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    ...rest,
  };
}

/** A step of a method, 2 labelled and 2 unlabelled crops, at the paper's size. */
function methodCase(
  method: RequestOf<"method-train">["method"],
  patch: Extents,
  gigabytes: number,
  smaller?: string,
): BenchCase {
  const isMagic = method === "magicnet";
  return {
    name: `${method}-${patch.join("x")}`,
    request: {
      ...{ work: "method-train", model: isMagic ? "magicnet" : "vnet", patch, filters: 16, method },
      classes: isMagic ? 14 : 2,
    },
    settings: ["default", "channels-last", "channels-last,compiled"],
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    ...(smaller === undefined ? {} : { smaller }),
  };
}

/** A step of SFR+: the segmenter's and one of SAM for a crop that teaches it, a labelled canvas and an unlabelled one. */
function exchangeCase(
  patch: Extents,
  [model, canvas]: readonly [SamSize, number],
  gigabytes: number,
  smaller?: string,
): BenchCase {
  const both = { classes: 2 };
  return {
    name: `sfr-plus-${patch.join("x")}-${model}-${canvas}`,
    request: {
      work: "exchange-train",
      segmenter: { model: "vnet", patch, batch: 4, filters: 16, method: "mean-teacher", ...both },
      sam: { model, canvas, batch: 2, rank: 4, ...both },
    },
    settings: ["default", "channels-last,no-heads,sdpa", "channels-last,compiled,no-heads,sdpa"],
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    runs: 3,
    ...(smaller === undefined ? {} : { smaller }),
  };
}

/** The same in bf16. */
function inBf16(item: BenchCase, settings: readonly string[]): BenchCase {
  const { request } = item;
  if (request.work !== "segmenter-train" && request.work !== "sam-train" && request.work !== "sam-infer")
    throw new UsageError(`bench: expected work that knows bf16, received ${request.work}`);
  return {
    ...item,
    name: `${item.name}-bf16`,
    request: { ...request, precision: "bf16" },
    settings,
    tolerance: bf16Tolerance,
  };
}

/** Logits of one patch. */
function inferCase(
  model: SegmenterModel,
  patch: Extents,
  gigabytes: number,
  rest: Pick<BenchCase, "smaller"> = {},
): BenchCase {
  return {
    name: patch.join("x"),
    request: { work: "segmenter-infer", model, patch, batch: 1, filters: 16, classes: 2 },
    settings: segmenterSettings,
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    ...rest,
  };
}

/** Labels of a whole volume by windows, with the stride of the papers on LA. */
function volumeCase(model: SegmenterModel, volume: Extents, patch: Extents, gigabytes: number): BenchCase {
  return {
    name: volume.join("x"),
    request: { work: "segmenter-volume", model, volume, patch, stride: [18, 18, 4], filters: 16, classes: 2 },
    settings: segmenterSettings.filter((setting) => setting.includes("no-heads")),
    // Labels summed along z, 20 to 45 on average: one voxel between two classes may fall to either side.
    tolerance: 0.06,
    peerBytes: gigabytes * gigabyte,
  };
}

function samCase(
  work: "sam-train" | "sam-infer",
  model: SamSize,
  canvas: number,
  gigabytes: number,
  options: {
    smaller?: string;
    runs?: number;
    batch?: number;
    settings?: readonly string[];
    settingBytes?: Readonly<Record<string, number>>;
  } = {},
): BenchCase {
  const { batch = 1, settings = work === "sam-train" ? samSettings : samInferSettings, ...rest } = options;
  return {
    name: `${model}-${canvas}${batch === 1 ? "" : `-batch${batch}`}`,
    request: { work, model, canvas, classes: 2, batch, rank: 4 },
    settings,
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    ...rest,
  };
}

/** Pseudo-labels of files; the peers are the usual simple loop and one that overlaps reading, network and writing. */
function batchCase(
  model: SamSize,
  canvas: number,
  [patch, volume]: readonly [Extents, Extents],
  volumes: number,
  gigabytes: number,
  rest: Pick<BenchCase, "smaller"> = {},
): BenchCase {
  return {
    name: `${model}-${canvas}-${volumes}-volumes`,
    request: { work: "batch", model, canvas, classes: 2, patch, volume, volumes },
    settings: ["default", "threads,sdpa,compiled"],
    // Labels summed along z: one voxel between two classes may fall to either side.
    tolerance: 0.06,
    peerBytes: gigabytes * gigabyte,
    ...rest,
  };
}

/** A file of one canvas, without a peer. */
function engineCase(model: SamSize, canvas: number, patch: Extents, engine?: "c" | "node"): BenchCase {
  const request = { work: "batch", model, canvas, classes: 2, patch, volume: patch, volumes: 1 } as const;
  return {
    name: `${model}-${canvas}-${engine === undefined ? "native" : `onnx-${engine}`}`,
    request: engine === undefined ? request : { ...request, engine },
    settings: [],
    tolerance: 0,
    peerBytes: 0,
  };
}

/** Files shared by processes of one thread each, without a peer: the quotient of two times is the speed-up. */
function workersCase(processes: number): BenchCase {
  const extents = { patch: small, volume: [96, 96, 48] } satisfies Record<string, Extents>; // 8 windows each
  return {
    name: `tiny-512-24-volumes-${processes}-process${processes === 1 ? "" : "es"}`,
    request: { work: "batch", model: "tiny", canvas: 512, classes: 2, ...extents, volumes: 24, processes },
    settings: [],
    tolerance: 0,
    peerBytes: 0,
  };
}

/** Patches of the paper's size to and from their canvases. */
function stitchCase(volumes: number, direction: "stitch" | "unstitch", runs: number): BenchCase {
  return {
    name: `${volumes}x112x112x80${direction === "stitch" ? "" : "-unstitch"}`,
    request: { work: "stitch", patch: [112, 112, 80], canvas: 1024, volumes, direction },
    settings: ["default", "strided-copy", "copy"],
    tolerance: 0, // values are copied
    peerBytes: 2 * gigabyte,
    runs,
  };
}

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
  batch: [
    batchCase("tiny", 512, [small, [96, 96, 48]], 6, 2), // 8 windows each
    batchCase("vit_b", 1024, [large, [168, 112, 80]], 3, 7, { smaller: "tiny-512-6-volumes" }), // 2 windows each
  ],
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
