import { join } from "node:path";
import { readImage, writeImage, writeLabels } from "../../src/data/volume-file.js";

/** Sources whose axes lie in different ways, and one that does not say where it lies. */
const SOURCES = ["hand_ras_big.nrrd", "hand_las.nrrd", "i2.mha", "c_order.npz", "spacing.npz"] as const;

/**
 * Writes files of every format on the grids of fixtures: float32 images of the same values as .nii.gz, uint8 label ids
 * (position in memory modulo 7) as .nrrd, and uint16 ones (times 100) as .mha.
 */
export async function writtenFiles(fixtures: string, folder: string): Promise<void> {
  for (const source of SOURCES) {
    const image = await readImage(join(fixtures, source));
    const at = (extension: string): string => join(folder, `${source.replaceAll(".", "_")}${extension}`);
    await writeImage(at(".nii.gz"), image);
    await writeLabels(at(".nrrd"), { ...image, data: Uint8Array.from(image.data, (_, i) => i % 7) }, image);
    await writeLabels(
      at(".mha"),
      { ...image, data: Uint16Array.from(image.data, (_, i) => 100 * (i % 7)) },
      image,
    );
  }
}
