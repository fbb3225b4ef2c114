import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { generatePhantom, type Phantom } from "../../src/data/phantom.js";
import type { ImageVolume, Vec3 } from "../../src/data/volume.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";

/** Extents of a case, voxels (x, y, z): larger than a patch of 16, no multiple of it, all different. */
const usualExtents: Vec3 = [26, 25, 24];

/** How phantoms become a data set. */
export interface PhantomFiles {
  /** By case: what stands behind `images` and `labels` in the names of its folders. `Un` has no labels. */
  readonly parts: readonly string[];
  readonly extents?: Vec3 | undefined;
  /** Images of a case by what stands behind its id in their names; by default the phantom's own. */
  imagesOf?(image: ImageVolume): Readonly<Record<string, ImageVolume>>;
  /** Label ids of a case. */
  idsOf(label: Phantom["label"]["data"]): Uint8Array;
}

/** Writes phantoms 0, 1, .. of seed 1 below `data`. */
export async function writePhantoms(data: string, files: PhantomFiles): Promise<void> {
  const { parts, extents = usualExtents, imagesOf = (image) => ({ "": image }), idsOf } = files;
  for (const [index, part] of parts.entries()) {
    const { id, image, label } = generatePhantom(index, 1, extents);
    for (const kind of part === "Un" ? ["images"] : ["images", "labels"])
      await mkdir(join(data, `${kind}${part}`), { recursive: true });
    for (const [suffix, volume] of Object.entries(imagesOf(image)))
      await writeImage(join(data, `images${part}`, `${id}${suffix}.nii.gz`), volume, image);
    if (part === "Un") continue;
    const ids = { ...label, data: idsOf(label.data) };
    await writeLabels(join(data, `labels${part}`, `${id}.nii.gz`), ids, image);
  }
}
