import { DataError } from "../../../errors.js";
import { LAST_ROW, stepLengths } from "../../orientation.js";
import type { Affine, Vec3 } from "../../volume.js";
import { checkAffine } from "../format.js";
import type { NiftiFields } from "./fields.js";

/** A squared quaternion part that is negative by at most this counts as 0 (nibabel: -3 * float32 eps). */
const QUATERNION_SLACK = 3 * 2 ** -23;
/** pixdim and affine that differ by no more than this share say the same, in float32. */
const SAME_LENGTH = 1e-4;

const MM_PER_UNIT: Readonly<Record<number, number>> = { 1: 1000, 2: 1, 3: 0.001 };

/**
 * Voxel index to scanner coordinates in mm by nibabel's rule (get_best_affine): the s-form when its code is
 * set, else the q-form when its code is set, else the spacing alone. nifti-reader-js prefers a q-form
 * with the higher code, knows no q-form in NIfTI-2, and gives NaN for quaternions a hair above unit length;
 * none of it is used.
 *
 * @throws DataError when the fields hold no finite affine
 */
export function readAffine(fields: NiftiFields, path: string): Affine {
  const { parsed } = fields;
  const affine = checkAffine(
    path,
    parsed.sform_code > 0
      ? readSform(fields)
      : parsed.qform_code > 0
        ? readQform(fields, path)
        : affineFromSpacing(fields),
  );
  return inMm(affine, fields);
}

/** The q-form where the s-form is used; null where there is none or it is damaged, which does not matter then. */
export function readOtherAffine(fields: NiftiFields, path: string): Affine | null {
  const { sform_code: sform, qform_code: qform } = fields.parsed;
  if (!(sform > 0 && qform > 0)) return null;
  try {
    const affine = inMm(checkAffine(path, readQform(fields, path)), fields);
    return stepLengths(affine).every((step) => step > 0) ? affine : null;
  } catch {
    return null;
  }
}

function inMm(affine: Affine, fields: NiftiFields): Affine {
  const mm = mmPerUnit(fields);
  const rows = affine.slice(0, 3).map(([x, y, z, origin]) => [x * mm, y * mm, z * mm, origin * mm] as const);
  return [...rows, LAST_ROW];
}

/**
 * Distance of voxel centres along the file's axes in mm: the steps of the affine. Where pixdim says the same, its
 * number is taken, which is free of the rounding of the cosines.
 *
 * @param affine of readAffine
 */
export function readSpacing(fields: NiftiFields, affine: Affine): Vec3 {
  const given = pixdim(fields);
  const choose = (step: number, axis: 0 | 1 | 2): number => {
    const plain = Math.abs(given[axis]) * mmPerUnit(fields);
    return Math.abs(plain - step) <= SAME_LENGTH * step ? plain : step;
  };
  const [x, y, z] = stepLengths(affine);
  return [choose(x, 0), choose(y, 1), choose(z, 2)];
}

function mmPerUnit({ parsed }: NiftiFields): number {
  return MM_PER_UNIT[parsed.xyzt_units & 7] ?? 1;
}

function readSform(fields: NiftiFields): Affine {
  const { srow } = fields.layout;
  const entry = (row: number, column: number): number => fields.get(srow, 4 * row + column);
  const rows = [0, 1, 2].map((r) => [entry(r, 0), entry(r, 1), entry(r, 2), entry(r, 3)] as const);
  return [...rows, LAST_ROW];
}

function pixdim({ parsed }: NiftiFields): Vec3 {
  return [parsed.pixDims[1] ?? 0, parsed.pixDims[2] ?? 0, parsed.pixDims[3] ?? 0];
}

/** Quaternion (b, c, d), offsets and qfac, as the NIfTI-1 standard's method 2 has them. */
function readQform(fields: NiftiFields, path: string): Affine {
  const { parsed } = fields;
  let { quatern_b: b, quatern_c: c, quatern_d: d } = parsed;
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
  const dz = (parsed.pixDims[0] ?? 1) < 0 ? -dzPlain : dzPlain;
  return [
    [
      (a * a + b * b - c * c - d * d) * dx,
      2 * (b * c - a * d) * dy,
      2 * (b * d + a * c) * dz,
      parsed.qoffset_x,
    ],
    [
      2 * (b * c + a * d) * dx,
      (a * a + c * c - b * b - d * d) * dy,
      2 * (c * d - a * b) * dz,
      parsed.qoffset_y,
    ],
    [
      2 * (b * d - a * c) * dx,
      2 * (c * d + a * b) * dy,
      (a * a + d * d - b * b - c * c) * dz,
      parsed.qoffset_z,
    ],
    LAST_ROW,
  ];
}

/** nibabel's base affine (shape_zoom_affine): origin in the middle of the volume, x flipped. */
function affineFromSpacing(fields: NiftiFields): Affine {
  const rank = fields.dims[0] ?? 3;
  const middle = (axis: number): number => ((axis <= rank ? (fields.dims[axis] ?? 1) : 1) - 1) / 2;
  const [dx, dy, dz] = pixdim(fields);
  return [[-dx, 0, 0, middle(1) * dx], [0, dy, 0, -middle(2) * dy], [0, 0, dz, -middle(3) * dz], LAST_ROW];
}
