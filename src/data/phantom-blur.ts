import type { Vec3 } from "./volume.js";

/** Gaussian smoothing along x, y and z, in place; borders repeat the last voxel. Sigma in voxels. */
export function smoothInPlace(data: Float32Array, shape: Vec3, sigma: number): void {
  const reach = Math.ceil(3 * sigma);
  const plain = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const sum = plain.reduce((total, weight) => total + weight, 0);
  const weights = plain.map((weight) => weight / sum);
  let stride = 1;
  for (const extent of shape) {
    smoothAxis(data, extent, stride, weights);
    stride *= extent;
  }
}

function smoothAxis(data: Float32Array, extent: number, stride: number, weights: readonly number[]): void {
  const reach = (weights.length - 1) / 2;
  const line = new Float64Array(extent + 2 * reach);
  for (let first = 0; first < data.length; first++) {
    if (Math.floor(first / stride) % extent !== 0) continue;
    for (let i = 0; i < line.length; i++) {
      const at = Math.min(Math.max(i - reach, 0), extent - 1);
      line[i] = data[first + at * stride] ?? 0;
    }
    for (let i = 0; i < extent; i++) {
      let total = 0;
      for (let k = 0; k < weights.length; k++) total += (weights[k] ?? 0) * (line[i + k] ?? 0);
      data[first + i * stride] = total;
    }
  }
}
