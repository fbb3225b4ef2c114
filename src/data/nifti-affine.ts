import type { NIFTI1 } from "nifti-reader-js";
import { DataError } from "../errors.js";
import type { Affine, Vec3 } from "./volume.js";

/** Last row of every affine. */
export const LAST_ROW = [0, 0, 0, 1] as const;

/** A squared quaternion part that is negative by at most this counts as 0 (nibabel: -3 * float32 eps). */
const QUATERNION_SLACK = 3 * 2 ** -23;

/**
 * Voxel index to scanner coordinates by nibabel's rule (get_best_affine): the s-form when its code is
 * set, else the q-form when its code is set, else the spacing alone. nifti-reader-js prefers a q-form
 * with the higher code and gives NaN for quaternions a hair above unit length; neither is used.
 *
 * @throws DataError when the fields hold no finite affine
 */
export function readAffine(header: Uint8Array<ArrayBuffer>, fields: NIFTI1, path: string): Affine {
  const affine =
    fields.sform_code > 0
      ? readSform(header, fields.littleEndian)
      : fields.qform_code > 0
        ? readQform(fields, path)
        : affineFromSpacing(fields);
  if (affine.flat().some((entry) => !Number.isFinite(entry))) {
    throw new DataError(
      `${path}: expected finite numbers for the affine, received ${affine.flat().join(" ")}; correct the header`,
    );
  }
  return affine;
}

function readSform(header: Uint8Array<ArrayBuffer>, littleEndian: boolean): Affine {
  const view = new DataView(header.buffer);
  const entry = (row: number, column: number): number =>
    view.getFloat32(280 + 16 * row + 4 * column, littleEndian);
  const rows = [0, 1, 2].map((r) => [entry(r, 0), entry(r, 1), entry(r, 2), entry(r, 3)] as const);
  return [...rows, LAST_ROW];
}

function pixdim(fields: NIFTI1): Vec3 {
  return [fields.pixDims[1] ?? 0, fields.pixDims[2] ?? 0, fields.pixDims[3] ?? 0];
}

/** Quaternion (b, c, d), offsets and qfac, as the NIfTI-1 standard's method 2 has them. */
function readQform(fields: NIFTI1, path: string): Affine {
  let { quatern_b: b, quatern_c: c, quatern_d: d } = fields;
  const aSquared = 1 - (b * b + c * c + d * d);
  if (!(aSquared >= -QUATERNION_SLACK)) {
    throw new DataError(
      `${path}: expected a unit quaternion for the q-form, received (b, c, d) = (${b}, ${c}, ${d}); ` +
        "correct the header",
    );
  }
  if (aSquared < 0) {
    const length = Math.hypot(b, c, d);
    [b, c, d] = [b / length, c / length, d / length];
  }
  const a = Math.sqrt(Math.max(aSquared, 0));
  const [dx, dy, dzPlain] = pixdim(fields);
  // Any negative qfac means -1; 0 and everything else +1.
  const dz = (fields.pixDims[0] ?? 1) < 0 ? -dzPlain : dzPlain;
  return [
    [
      (a * a + b * b - c * c - d * d) * dx,
      2 * (b * c - a * d) * dy,
      2 * (b * d + a * c) * dz,
      fields.qoffset_x,
    ],
    [
      2 * (b * c + a * d) * dx,
      (a * a + c * c - b * b - d * d) * dy,
      2 * (c * d - a * b) * dz,
      fields.qoffset_y,
    ],
    [
      2 * (b * d - a * c) * dx,
      2 * (c * d + a * b) * dy,
      (a * a + d * d - b * b - c * c) * dz,
      fields.qoffset_z,
    ],
    LAST_ROW,
  ];
}

/** nibabel's base affine (shape_zoom_affine): origin in the middle of the volume, x flipped. */
function affineFromSpacing(fields: NIFTI1): Affine {
  const rank = fields.dims[0] ?? 3;
  const middle = (axis: number): number => ((axis <= rank ? (fields.dims[axis] ?? 1) : 1) - 1) / 2;
  const [dx, dy, dz] = pixdim(fields);
  return [[-dx, 0, 0, middle(1) * dx], [0, dy, 0, -middle(2) * dy], [0, 0, dz, -middle(3) * dz], LAST_ROW];
}
