/** One case of a bench, and the kinds of cases there are. Extents are (x, y, z) = the peers' (H, W, D). */
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

// Two f32 implementations of a network of 30 to 60 layers differ by 1e-6 to 1e-4 of the logits' size; a fault moves them
// by more than a hundredth.
const networkTolerance = 1e-3;
// bf16 has 8 bits: its networks differ from f32 ones by a few hundredths, ours and the peers' alike.
const bf16Tolerance = 0.2;
export const gigabyte = 1e9;

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
export const samBf16Settings = [
  "default",
  "sdpa,compiled",
  "bf16",
  "bf16,sdpa",
  "bf16,compiled",
  "bf16,sdpa,compiled",
];
export const segmenterBf16Settings = [
  "default",
  "channels-last,compiled,no-heads",
  "bf16,channels-last,no-heads",
  "bf16,channels-last,compiled,no-heads",
];
export const small: Extents = [64, 64, 32];
export const large: Extents = [112, 112, 80];

/** Held to AVX2; the peers' default and their best, as the others take minutes there. */
export const v3 = {
  simd: "v3",
  settings: ["default", "channels-last,no-heads", "channels-last,compiled,no-heads"],
} as const;

/** What the cases of a segmenter may differ in, beside their size. */
type SegmenterOptions = Partial<Pick<BenchCase, "smaller" | "simd" | "settings">> & {
  method?: RequestOf<"segmenter-train">["method"];
};

/** A training step of a batch of 4. */
export function trainCase(
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
export function methodCase(
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
export function exchangeCase(
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
export function inBf16(item: BenchCase, settings: readonly string[]): BenchCase {
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
export function inferCase(
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
export function volumeCase(
  model: SegmenterModel,
  volume: Extents,
  patch: Extents,
  gigabytes: number,
): BenchCase {
  return {
    name: volume.join("x"),
    request: { work: "segmenter-volume", model, volume, patch, stride: [18, 18, 4], filters: 16, classes: 2 },
    settings: segmenterSettings.filter((setting) => setting.includes("no-heads")),
    // Labels summed along z, 20 to 45 on average: one voxel between two classes may fall to either side.
    tolerance: 0.06,
    peerBytes: gigabytes * gigabyte,
  };
}

export function samCase(
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
export function batchCase(
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

/** The same files through ONNX Runtime, against the strongest peer. */
export function inOnnxRuntime(item: BenchCase): BenchCase {
  const { name, request, settings } = item;
  if (request.work !== "batch")
    throw new UsageError(`bench: expected work that knows ONNX Runtime, received ${request.work}`);
  return {
    ...item,
    name: `${name}-onnx`,
    request: { ...request, engine: "c" },
    settings: settings.slice(-1),
  };
}

/** A file of one canvas, without a peer. */
export function engineCase(model: SamSize, canvas: number, patch: Extents, engine?: "c" | "node"): BenchCase {
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
export function workersCase(processes: number): BenchCase {
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
export function stitchCase(volumes: number, direction: "stitch" | "unstitch", runs: number): BenchCase {
  return {
    name: `${volumes}x112x112x80${direction === "stitch" ? "" : "-unstitch"}`,
    request: { work: "stitch", patch: [112, 112, 80], canvas: 1024, volumes, direction },
    settings: ["default", "strided-copy", "copy"],
    tolerance: 0, // values are copied
    peerBytes: 2 * gigabyte,
    runs,
  };
}
