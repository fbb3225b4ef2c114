import { stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { DataError } from "../../errors.js";
import type { VoxelHeader, WantedVolume } from "../formats/format.js";
import { cornerShift } from "../grid-match.js";
import { orientationLetters } from "../orientation.js";
import { gridInMemory, streamLabels, streamVolume } from "../volume-file.js";

const vec3 = z.tuple([z.number(), z.number(), z.number()]);

/** What a check needs to know of a volume; kept between checks. Axes as in memory. */
const factsSchema = z.object({
  /** Voxels, (x, y, z). */
  shape: vec3,
  /** mm. */
  spacing: vec3.nullable(),
  /** Voxel to scanner, mm, RAS+. */
  affine: z.array(z.tuple([z.number(), z.number(), z.number(), z.number()])).nullable(),
  /** Directions of the file's axes: `LPS`. */
  axes: z.string().nullable(),
  /** Type of the voxels in the file: `int16`, `scaled int16`. */
  stored: z.string(),
  /** How far off a second affine lies that the file has and nobody uses (NIfTI's q-form beside an s-form). */
  otherForm: z.object({ mm: z.number(), voxels: z.number() }).nullable(),
  /** Checksum of the voxels as they are stored. */
  checksum: z.number(),
  /** Lowest and highest finite value of an image; null when there is none. */
  range: z.tuple([z.number(), z.number()]).nullable(),
  /** Voxels of an image that are NaN or infinite. */
  notFinite: z.number(),
  /** Ids of a label, rising. */
  ids: z.array(z.number()).nullable(),
});

export type VolumeFacts = z.infer<typeof factsSchema>;

/** A volume as a check saw it: what it is, or why it cannot be read. */
export type Finding = { readonly facts: VolumeFacts } | { readonly problem: string };

/** A finding and the state of the file that it is about. */
export const rememberedSchema = z.object({
  bytes: z.number(),
  modified: z.number(),
  facts: factsSchema,
});

export type Remembered = z.infer<typeof rememberedSchema>;

/** Findings of earlier checks, by path and content. */
export class FactsCache {
  #next: Record<string, Remembered> = {};

  constructor(private readonly before: Readonly<Record<string, Remembered>>) {}

  /** Findings of this check, for the next one. */
  get findings(): Readonly<Record<string, Remembered>> {
    return this.#next;
  }

  /** Reads a volume unless its file has the size and time of an earlier check. Problems are not remembered. */
  async examine(path: string, wanted: WantedVolume): Promise<Finding> {
    const { content, frame } = wanted;
    try {
      const { size: bytes, mtimeMs: modified } = await stat(path).catch(() => ({ size: -1, mtimeMs: -1 }));
      const key = `${content}${frame ?? ""} ${path}`;
      const known = Object.hasOwn(this.before, key) ? this.before[key] : undefined;
      const isSame = known?.bytes === bytes && known.modified === modified;
      const facts = isSame
        ? known.facts
        : await (content === "image" ? imageFacts(path, frame) : labelFacts(path));
      this.#next[key] = { bytes, modified, facts };
      return { facts };
    } catch (error) {
      if (error instanceof DataError) return { problem: error.message };
      throw error;
    }
  }
}

async function imageFacts(path: string, frame: WantedVolume["frame"]): Promise<VolumeFacts> {
  let [low, high, notFinite, checksum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  const header = await streamVolume(path, { content: "image", frame }, () => (values, count, _, stored) => {
    for (let i = 0; i < count; i++) {
      const value = values[i] ?? 0;
      if (value - value !== 0) notFinite++;
      else {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    checksum = crc32(stored, checksum);
  });
  return { ...placeFacts(header), checksum, range: low <= high ? [low, high] : null, notFinite, ids: null };
}

async function labelFacts(path: string): Promise<VolumeFacts> {
  const seen = new Uint8Array(65536);
  let checksum = 0;
  const header = await streamLabels(path, null, () => (ids, count, _, stored) => {
    for (let i = 0; i < count; i++) seen[ids[i] ?? 0] = 1;
    checksum = crc32(stored, checksum);
  });
  const ids = [...seen.keys()].filter((id) => seen[id] === 1);
  return { ...placeFacts(header), checksum, range: null, notFinite: 0, ids };
}

function placeFacts(
  header: VoxelHeader,
): Pick<VolumeFacts, "shape" | "spacing" | "affine" | "axes" | "stored" | "otherForm"> {
  const { shape, spacing, grid } = gridInMemory(header);
  const { type, slope, intercept, affine, otherAffine = null } = header;
  return {
    shape: [...shape],
    spacing: spacing && [...spacing],
    affine: grid?.affine.map(([a, b, c, d]) => [a, b, c, d]) ?? null,
    axes: grid ? orientationLetters(grid.orientation) : null,
    stored: slope === 1 && intercept === 0 ? type.name : `scaled ${type.name}`,
    otherForm: affine && otherAffine && cornerShift(affine, otherAffine, header.shape),
  };
}
