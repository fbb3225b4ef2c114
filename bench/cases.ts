/** What the benches run: one list for us and for the peers. Extents are (x, y, z) = the peers' (H, W, D). */
import { z } from "zod";
import { UsageError } from "../src/errors.js";
import type { SamSize } from "../src/models/sam/config.js";
import { stitchGeometry } from "../src/stitch/geometry.js";
import type { ProfileKind } from "./profile.js";

const extents = z.tuple([z.int(), z.int(), z.int()]);
const vnet = { patch: extents, batch: z.int(), filters: z.int(), classes: z.int() };
const sam = {
  model: z.enum(["tiny", "vit_b", "vit_l", "vit_h"]),
  canvas: z.int(),
  classes: z.int(),
  batch: z.int(),
  rank: z.int(),
};

/** The work of one case; the fields beside `work` are what the peer of that name takes as its case. */
export const requestSchema = z.discriminatedUnion("work", [
  z.strictObject({ work: z.literal("gemm"), size: z.int() }),
  z.strictObject({ work: z.literal("bandwidth"), elements: z.int() }),
  z.strictObject({
    work: z.literal("vnet-train"),
    ...vnet,
    method: z.enum(["supervised", "mean-teacher"]),
  }),
  z.strictObject({ work: z.literal("vnet-infer"), ...vnet }),
  z.strictObject({ work: z.literal("sam-train"), ...sam }),
  z.strictObject({ work: z.literal("sam-infer"), ...sam }),
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

/** One case of a bench. */
export interface BenchCase {
  readonly name: string;
  readonly request: BenchRequest;
  /** Settings of the peer script `bench/peers/<work>.py`; the first one's result is the one ours is held against. */
  readonly settings: readonly string[];
  /** Largest error against the peer (check.ts) before a result counts as wrong. */
  readonly tolerance: number;
  /** Memory that a peer needs, bytes, as measured with PyTorch 2.13. */
  readonly peerBytes: number;
  /** Settings that need more than the others, bytes, as measured with ONNX Runtime 1.32. */
  readonly settingBytes?: Readonly<Record<string, number>>;
  /** Name of the case to time instead where a peer does not fit the memory. */
  readonly smaller?: string;
  /** Whether the run is split into its parts, each of which gets a line of its own. */
  readonly profile?: ProfileKind;
  /** Timed runs; default 5. Fewer only where a run of a peer takes more than 20 s, more where one is over in no time. */
  readonly runs?: number;
}

export const benchNames = [
  "vnet-train",
  "vnet-infer",
  "sam-train",
  "sam-infer",
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
const gigabyte = 1e9;

const vnetSettings = [
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
interface VnetSize {
  patch: [number, number, number];
  batch: number;
  filters: number;
  classes: number;
}
const small: VnetSize = { batch: 4, filters: 16, classes: 2, patch: [64, 64, 32] };
const large: VnetSize = { ...small, patch: [112, 112, 80] };

function vnetCase(
  name: string,
  request: RequestOf<"vnet-train"> | RequestOf<"vnet-infer">,
  gigabytes: number,
  smaller?: string,
): BenchCase {
  return {
    name,
    request,
    settings: vnetSettings,
    tolerance: networkTolerance,
    peerBytes: gigabytes * gigabyte,
    ...(smaller ? { smaller } : {}),
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
    vnetCase("64x64x32", { work: "vnet-train", ...small, method: "supervised" }, 1.5),
    vnetCase("64x64x32-mean-teacher", { work: "vnet-train", ...small, method: "mean-teacher" }, 1.5),
    vnetCase("112x112x80", { work: "vnet-train", ...large, method: "supervised" }, 6, "64x64x32"),
    vnetCase(
      "112x112x80-mean-teacher",
      { work: "vnet-train", ...large, method: "mean-teacher" },
      6,
      "64x64x32-mean-teacher",
    ),
    vnetCase(
      "96x96x96",
      { work: "vnet-train", ...large, patch: [96, 96, 96], method: "supervised" },
      6,
      "64x64x32",
    ),
    vnetCase("32x32x32", { work: "vnet-train", ...small, patch: [32, 32, 32], method: "supervised" }, 1),
  ],
  "vnet-infer": [
    vnetCase("64x64x32", { work: "vnet-infer", ...small, batch: 1 }, 1),
    vnetCase("112x112x80", { work: "vnet-infer", ...large, batch: 1 }, 2, "64x64x32"),
  ],
  "sam-train": [
    samCase("sam-train", "tiny", 512, 1.5),
    samCase("sam-train", "vit_b", 512, 3),
    samCase("sam-train", "vit_b", 1024, 10, { smaller: "vit_b-512", runs: 3 }),
    samCase("sam-train", "vit_b", 1024, 18, { smaller: "vit_b-1024", runs: 3, batch: 2 }),
    // The peers know tiny and vit_b only; they would need several times our memory.
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
  ],
  // Parts of a step have no peer of their own: what they add up to is held against peers by vnet-train and sam-train.
  "vnet-layers": [
    {
      ...vnetCase("112x112x80", { work: "vnet-train", ...large, method: "supervised" }, 0),
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
      settings: ["default"],
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

/** The JSON that a peer script takes as its case. */
export function peerRequest(request: BenchRequest): Record<string, unknown> {
  const { work, ...rest } = request;
  if (work !== "stitch") return rest;
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
