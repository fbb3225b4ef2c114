import { generatePhantom } from "../../src/data/phantom.js";
import { type PreparedCase, prepareImage } from "../../src/data/prepare.js";
import type { Vec3 } from "../../src/data/volume.js";
import { Tensor } from "../../src/native/tensor.js";

/** A phantom of three classes as training sees it. @param extents voxels (x, y, z) */
export async function phantomCase(index: number, extents: Vec3 = [36, 26, 24]): Promise<PreparedCase> {
  const { id, image: source, label } = generatePhantom(index, 1, extents);
  const { image, geometry } = await prepareImage(source);
  return {
    ...{ id, image, geometry, channels: [image] },
    label: Tensor.from("u8", image.shape, label.data),
  };
}
