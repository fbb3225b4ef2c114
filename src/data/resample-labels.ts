import { DataError } from "../errors.js";
import type { Grid } from "./grid-match.js";
import { column } from "./orientation.js";
import { add, cross, dot, scale, subtract } from "./vectors.js";
import { type Affine, type LabelVolume, type Vec3, voxelCount } from "./volume.js";

/**
 * Labels on another grid: each voxel takes the id of the voxel that its centre lies in, 0 outside the volume.
 *
 * @param name for messages
 * @throws DataError when either grid does not say where it lies
 */
export function resampleLabels(labels: LabelVolume, target: Grid, name: string): LabelVolume {
  if (labels.grid === undefined || target.grid === undefined) {
    throw new DataError(
      `${name}: expected grids with spacing and origin to resample between, received one without; ` +
        "convert the file to NIfTI with the header of its image",
    );
  }
  // Voxel index of the target to voxel index of the labels.
  const origin = column(target.grid.affine, 3);
  const toIndex = (place: Vec3): Vec3 => solve(labels.grid?.affine ?? [], place);
  const start = toIndex(origin);
  const steps = [0, 1, 2].map((axis): Vec3 => {
    const end = toIndex(add(origin, column(target.grid?.affine ?? [], axis)));
    return subtract(end, start);
  });
  const [alongX = start, alongY = start, alongZ = start] = steps;
  const [nx, ny, nz] = target.shape;
  const [sx, sy, sz] = labels.shape;
  const count = voxelCount(target.shape);
  const data = labels.data instanceof Uint16Array ? new Uint16Array(count) : new Uint8Array(count);
  for (let z = 0, i = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = add(start, add(scale(alongZ, z), scale(alongY, y)));
      for (let x = 0; x < nx; x++, i++) {
        const a = Math.round(row[0] + x * alongX[0]);
        const b = Math.round(row[1] + x * alongX[1]);
        const c = Math.round(row[2] + x * alongX[2]);
        if (a >= 0 && b >= 0 && c >= 0 && a < sx && b < sy && c < sz)
          data[i] = labels.data[(c * sy + b) * sx + a] ?? 0;
      }
    }
  }
  return { shape: target.shape, spacing: target.spacing, grid: target.grid, data };
}

/** The voxel index that the affine maps to a place, by Cramer's rule; affines of files are never singular. */
function solve(affine: Affine, place: Vec3): Vec3 {
  const [x, y, z] = [column(affine, 0), column(affine, 1), column(affine, 2)];
  const at = subtract(place, column(affine, 3));
  const volume = dot(x, cross(y, z));
  return [dot(at, cross(y, z)) / volume, dot(at, cross(z, x)) / volume, dot(at, cross(x, y)) / volume];
}
