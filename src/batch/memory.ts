import { type CaseGeometry, isWhole } from "../data/case-geometry.js";
import { voxelCount } from "../data/volume.js";
import { DataError } from "../errors.js";
import type { KeptMaps } from "../predict/volume-labels.js";
import type { WindowModel } from "../predict/window-model.js";

/** Bytes per voxel while a volume is read: as read, as tensor, standardised, and the copy that is kept; f32 all. */
const whileRead = 16;
/** Bytes per voxel of the image and its labels while it waits, is labelled and is written. */
const whileKept = 5;
/** Bytes per voxel of the file while it is cropped and resampled: windowed, and kept for the picture. */
const whileResized = 8;
/** Bytes per voxel of each further channel: as read and as tensor, f32. */
const whileWaiting = 8;
/** Bytes per voxel of post-processing (two i32 of union-find, the labels before and after) and of the ids written. */
const whileWritten = 12;

/**
 * Memory that a case takes at most, from its reading to the end of its writing, bytes.
 *
 * @param geometry of the case, its crop or a larger one
 */
export function caseBytes(
  geometry: CaseGeometry,
  { channels, classes, patch }: Pick<WindowModel, "channels" | "classes" | "patch">,
  maps: KeptMaps,
): number {
  const kept = maps === "none" ? 0 : maps === "confidence" ? 1 : 1 + classes;
  const others = (channels - 1) * whileWaiting;
  const perVoxel = Math.max(whileRead, whileKept + kept + whileWritten) + others;
  const { source, shape } = geometry;
  const isResized = geometry.restores && !isWhole(geometry);
  // Slices of probabilities that wait until a slice of the file can be made of them, and that slice.
  const waiting = 2 * Math.ceil(Math.max(1, shape[2] / source.shape[2])) + 2;
  const resized = isResized
    ? voxelCount(source.shape) * whileResized + shape[0] * shape[1] * waiting * 4 * classes
    : 0;
  const voxels = Math.max(voxelCount(source.shape), voxelCount(shape));
  const [width, height] = [Math.max(shape[0], patch[0]), Math.max(shape[1], patch[1])];
  // Sums and means of the probabilities, counts and labels.
  const slab = width * height * patch[2] * (8 * classes + 5);
  return voxels * perVoxel + resized + slab;
}

/** `3.42 GB`, `12 MB`. */
export function formatBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${Math.ceil(bytes / 1e6)} MB`;
}

/** Lets cases into memory as long as they fit together. */
export class MemoryGate {
  private used = 0;
  private waiting: (() => void)[] = [];

  /** @param budget bytes for all cases that are in memory at a time */
  constructor(readonly budget: number) {}

  /**
   * Waits until there is room for a case.
   *
   * @returns gives the room free again
   * @throws DataError when it would not even fit alone
   */
  async enter(id: string, bytes: number): Promise<() => void> {
    if (bytes > this.budget) {
      const [needed, left] = [formatBytes(bytes), formatBytes(Math.max(0, this.budget))];
      throw new DataError(
        `case '${id}': expected a volume that fits into the ${left} left of the memory, received one that needs ` +
          `${needed}; raise --memory, or cut the volume`,
      );
    }
    while (this.used + bytes > this.budget) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.used += bytes;
    return () => {
      this.used -= bytes;
      for (const resolve of this.waiting.splice(0)) resolve();
    };
  }
}
