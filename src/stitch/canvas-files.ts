import { mkdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import {
  formatShape,
  type ImageVolume,
  type LabelVolume,
  type Vec3,
  type Volume,
  type VolumeGrid,
  voxelCount,
} from "../data/volume.js";
import { DataError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { decodePng, encodePng } from "../io/png.js";
import { Tensor } from "../native/tensor.js";
import { windowToGray } from "../viewer/overlay.js";
import { type StitchGeometry, stitchGeometry } from "./geometry.js";

/** Pixels of a label canvas that no slice covers. */
const gapLabel = 255;

const numbers3 = z.tuple([z.number(), z.number(), z.number()]);

/** What a canvas file folder says of its volume: enough to write labels drawn on the canvases back as NIfTI. */
const recordSchema = z.object({
  format: z.literal(2),
  /** Path of the volume as it was given. */
  source: z.string(),
  content: z.enum(["intensities", "labels"]),
  /** Voxels (x, y, z). */
  shape: z.tuple([z.int().min(1), z.int().min(1), z.int().min(1)]),
  /** mm. */
  spacing: numbers3.nullable(),
  /** Side of a canvas, pixels. */
  canvas: z.int().min(1),
  /** Names of the pictures beside the record, in order. */
  pictures: z.array(z.string()).min(1),
  /** Where every tile lies; made from shape and canvas, for readers in other languages. */
  geometry: z.record(z.string(), z.number()),
  /** Where the voxels lie and how the file has them; the header is base64. */
  grid: z
    .object({
      affine: z.array(z.tuple([z.number(), z.number(), z.number(), z.number()])).length(4),
      orientation: z.object({
        axes: numbers3.refine((axes) => [...axes].sort().join() === "0,1,2"),
        flips: z.tuple([z.boolean(), z.boolean(), z.boolean()]),
      }),
      header: z
        .object({
          format: z.enum(["nifti", "nrrd", "metaimage"]),
          bytes: z.base64(),
          littleEndian: z.boolean(),
        })
        .nullable(),
    })
    .nullable(),
});

type CanvasRecord = z.infer<typeof recordSchema>;

/**
 * Writes a volume as stitched canvases `<name>_canvas_<n>.png` (8-bit gray) and their record `<name>_canvas.json`.
 * Intensities go from the 1st to the 99th percentile as 0 to 255, gaps are 0; label ids stay as they are, gaps are 255.
 *
 * @returns paths of the record and of the pictures
 * @throws DataError for label ids above 254; UsageError when a slice is larger than the canvas
 */
export async function writeCanvases(
  volume: ImageVolume | LabelVolume,
  request: { source: string; name: string; out: string; canvas: number },
): Promise<{ record: string; pictures: string[] }> {
  const { shape, spacing, grid, data } = volume;
  const isImage = data instanceof Float32Array;
  const geometry = stitchGeometry({ patch: shape, canvas: request.canvas });
  const gray = isImage ? windowToGray(data) : labelBytes(data, request.source);
  const canvases = await stitchBytes(gray, geometry, isImage ? 0 : gapLabel);
  await mkdir(request.out, { recursive: true });
  const pixels = request.canvas ** 2;
  const pictures: string[] = [];
  for (let index = 0; index < geometry.canvases; index += 1) {
    const name = `${request.name}_canvas_${String(index).padStart(3, "0")}.png`;
    const png = encodePng(
      canvases.subarray(index * pixels, (index + 1) * pixels),
      request.canvas,
      request.canvas,
      1,
    );
    await writeFileAtomic(join(request.out, name), png);
    pictures.push(name);
  }
  const record: CanvasRecord = {
    format: 2,
    source: request.source,
    content: isImage ? "intensities" : "labels",
    shape: [...shape],
    spacing: spacing === null ? null : [...spacing],
    canvas: request.canvas,
    pictures,
    geometry: { ...geometry },
    grid: grid === undefined ? null : packGrid(grid),
  };
  const path = join(request.out, `${request.name}_canvas.json`);
  await writeFileAtomic(path, `${JSON.stringify(record, null, 2)}\n`);
  return { record: path, pictures: pictures.map((name) => join(request.out, name)) };
}

/**
 * Reads the pictures of a record back as a label volume on the grid of its source; the gray value is the id. The exact
 * inverse of writeCanvases for labels.
 *
 * @throws DataError when the record or a picture is missing, damaged, or of another size
 */
export async function readCanvases(recordPath: string): Promise<Volume<Uint8Array>> {
  const record = await readRecord(recordPath);
  const geometry = stitchGeometry({ patch: record.shape, canvas: record.canvas });
  if (record.pictures.length !== geometry.canvases) {
    throw new DataError(
      `${recordPath}: expected ${geometry.canvases} pictures for ${formatShape(record.shape)} voxels, ` +
        `received ${record.pictures.length}; stitch the volume again`,
    );
  }
  const pixels = record.canvas ** 2;
  const canvases = new Uint8Array(geometry.canvases * pixels);
  for (const [index, name] of record.pictures.entries()) {
    // A name only: a record must not reach into other folders.
    const path = join(dirname(recordPath), basename(name));
    canvases.set(await readCanvas(path, record.canvas), index * pixels);
  }
  const { shape, spacing, grid } = record;
  return {
    shape,
    spacing,
    data: await unstitchBytes(canvases, geometry),
    ...(grid === null ? {} : { grid: unpackGrid(grid) }),
  };
}

type PackedGrid = NonNullable<CanvasRecord["grid"]>;

function packGrid({ affine, orientation, header }: VolumeGrid): PackedGrid {
  return {
    affine: affine.map(([a, b, c, d]) => [a, b, c, d]),
    orientation: { axes: [...orientation.axes], flips: [...orientation.flips] },
    header: header && { ...header, bytes: Buffer.from(header.bytes).toString("base64") },
  };
}

function unpackGrid({ affine, orientation, header }: PackedGrid): VolumeGrid {
  const bytes = new Uint8Array(Buffer.from(header?.bytes ?? "", "base64"));
  return { affine, orientation, header: header && { ...header, bytes } };
}

async function readRecord(path: string): Promise<CanvasRecord> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    const received = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new DataError(
      `${path}: expected the record of stitched canvases, received ${received}; check the path`,
      {
        cause: error,
      },
    );
  }
  const parsed = recordSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(
    `${path}: expected the record of stitched canvases, received a wrong ${issue?.path.join(".") || "file"} ` +
      `(${issue?.message}); give the .json file that \`sfr stitch\` wrote`,
  );
}

async function readCanvas(path: string, side: number): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(
      `${path}: expected a canvas picture, received ${error.code}; put it beside its record`,
      {
        cause: error,
      },
    );
  });
  const { pixels, width, height, channels } = decodePng(bytes, path);
  if (width !== side || height !== side || channels !== 1) {
    throw new DataError(
      `${path}: expected ${side} x ${side} gray pixels, received ${width} x ${height} with ${channels} channels; ` +
        "save it as 8-bit gray without resizing",
    );
  }
  return pixels;
}

function labelBytes(ids: Uint8Array | Uint16Array, source: string): Uint8Array {
  const large = ids.find((id) => id >= gapLabel);
  if (large === undefined) return Uint8Array.from(ids);
  throw new DataError(
    `${source}: expected label ids 0..254 for 8-bit pictures, received ${large}; renumber the labels`,
  );
}

/** [D, H, W] -> [canvases, S, S]. */
async function stitchBytes(voxels: Uint8Array, geometry: StitchGeometry, gap: number): Promise<Uint8Array> {
  const { slices, sliceHeight, sliceWidth } = geometry;
  using x = Tensor.from("u8", [1, slices, sliceHeight, sliceWidth], voxels);
  const graph = new Graph();
  using program = graph.compile({ canvases: ops.stitch(graph.input("x", "u8", x.shape), geometry, gap) });
  return (await program.run({ x })).canvases.u8.slice();
}

/** [canvases, S, S] -> [D, H, W]. */
async function unstitchBytes(pixels: Uint8Array, geometry: StitchGeometry): Promise<Uint8Array> {
  const { canvas, canvases, slices, sliceHeight, sliceWidth } = geometry;
  using x = Tensor.from("u8", [canvases, canvas, canvas], pixels);
  const graph = new Graph();
  using program = graph.compile({ voxels: ops.unstitch(graph.input("x", "u8", x.shape), geometry) });
  const { voxels } = await program.run({ x });
  const shape: Vec3 = [sliceWidth, sliceHeight, slices];
  return voxels.u8.slice(0, voxelCount(shape));
}
