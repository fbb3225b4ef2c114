import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CancelledError, UsageError } from "../errors.js";
import { RandomStream } from "../graph/random.js";
import { gridFromAffine } from "./orientation.js";
import { smoothInPlace } from "./phantom-blur.js";
import { type Ball, ellipsoid, type Inside, insideAny, tube } from "./phantom-shapes.js";
import type { Affine, ImageVolume, Vec3, Volume } from "./volume.js";
import { writeImage, writeLabels } from "./volume-file.js";

/**
 * How hard the phantoms are. Lengths are voxels of a 64 x 64 x 48 volume and grow with the extents;
 * intensities are shares of the tissue's own. A pair is the range that each case draws from.
 */
const PHANTOM_DIFFICULTY = {
  /** Intensity of organ minus tissue. Cases spread evenly over the range; 0 would hide the organ. */
  organContrast: [0.4, 0.8],
  /** The two labelled cases sit here in that range (0 = low end, 1 = high end): the weak ones are unlabelled. */
  labelledPlaces: [0.95, 0.65],
  /** Contrast of the tube as a share of the organ's: it is darker than the tissue. */
  tubeContrast: [-0.9, -0.7],
  /** Contrast of the distractors as a share of the organ's. */
  distractorContrast: [0.3, 0.6],
  /** Change of every radius, relative. */
  radiusVariation: 0.18,
  /** Shift of organ and tube together, and of the lobes and the tube's ends by themselves. */
  positionVariation: 4,
  /** Largest log-gain of the smooth bias field. */
  biasStrength: 0.3,
  /** Tissue texture: standard deviation and how far it reaches. */
  textureStrength: 0.06,
  textureWidth: 2.5,
  /** Standard deviation of the point spread. */
  blur: [0.6, 1.1],
  /** Standard deviation of the noise. */
  noise: [0.03, 0.08],
} as const;

/** Intensity of plain tissue in the stored image; the air around it is 0. */
const TISSUE_LEVEL = 600;
const REFERENCE_SHAPE: Vec3 = [64, 64, 48];
const SPACING: Vec3 = [1, 1, 1.5];

/** One generated case. */
export interface Phantom {
  /** `phantom_007`. */
  readonly id: string;
  readonly image: ImageVolume;
  /** 0 background, 1 organ (a large body with lobes), 2 tube (small, bent, beside it). */
  readonly label: Volume<Uint8Array>;
}

/** Extents of a case, in voxels: 64..72, 64..72, 48..56. */
export function phantomShape(index: number, seed: number): Vec3 {
  const random = new RandomStream(seed, index, "phantom/shape");
  return [64 + random.integer(9), 64 + random.integer(9), 48 + random.integer(9)];
}

/**
 * Generates a case: body outline, an organ with lobes, a bent tube beside it, look-alikes of both that are
 * background, tissue texture, bias field, blur and noise. Position, shape and above all the contrast
 * differ between cases, so that the first two do not show what the others look like.
 * The same three arguments give the same bits.
 *
 * @param index number of the case; 0 and 1 are meant to be the labelled ones
 * @param shape extents in voxels, each at least 24
 * @throws UsageError when an extent is too small
 */
export function generatePhantom(
  index: number,
  seed: number,
  shape: Vec3 = phantomShape(index, seed),
): Phantom {
  if (shape.some((extent) => !Number.isInteger(extent) || extent < 24)) {
    throw new UsageError(
      `phantom: expected whole numbers of at least 24 for the extents, received ${shape.join(", ")}; ask for a larger volume`,
    );
  }
  const anatomy = drawAnatomy(new RandomStream(seed, index, "phantom/anatomy"), shape);
  const contrast = drawContrast(index, seed);
  const label = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const data = paint(anatomy, contrast, shape, label);
  degrade(data, shape, index, seed);
  const grid = gridFromAffine(obliqueAffine(index, seed), shape);
  const common = { shape, spacing: SPACING, grid };
  return {
    id: `phantom_${String(index).padStart(3, "0")}`,
    image: { ...common, data },
    label: { ...common, data: label },
  };
}

/** How a phantom data set is divided. */
export interface PhantomDatasetRequest {
  readonly cases: number;
  readonly labelled: number;
  readonly unlabelled: number;
  readonly test: number;
  readonly seed: number;
}

/**
 * Writes a data set in the images-labels layout: the first cases to images/ and labels/, the next to
 * imagesUn/ (their labels are not written), the last to imagesTs/ and labelsTs/. All .nii.gz.
 *
 * @throws UsageError when the parts do not add up; DataError when a file cannot be written; CancelledError when stopped
 */
export async function writePhantomDataset(
  root: string,
  request: PhantomDatasetRequest,
  signal?: AbortSignal,
): Promise<void> {
  const { cases, labelled, unlabelled, test, seed } = request;
  if (labelled + unlabelled + test !== cases || labelled < 1) {
    throw new UsageError(
      `phantom: expected labelled + unlabelled + test = ${cases} with at least 1 labelled, ` +
        `received ${labelled} + ${unlabelled} + ${test}; change the numbers`,
    );
  }
  for (const folder of ["images", "labels", "imagesUn", "imagesTs", "labelsTs"]) {
    await mkdir(join(root, folder), { recursive: true });
  }
  for (let index = 0; index < cases; index++) {
    if (signal?.aborted) throw new CancelledError("phantom: stopped on request; the data set is not whole");
    const { id, image, label } = generatePhantom(index, seed);
    const part = index < labelled ? "" : index < labelled + unlabelled ? "Un" : "Ts";
    await writeImage(join(root, `images${part}`, `${id}.nii.gz`), image);
    if (part !== "Un") await writeLabels(join(root, `labels${part}`, `${id}.nii.gz`), label, image);
  }
}

/** Uniform in a range. */
function between(random: RandomStream, [low, high]: readonly [number, number]): number {
  return low + (high - low) * random.uniform();
}

/** Intensities relative to tissue (1 = tissue). */
interface Contrast {
  readonly organ: number;
  readonly tube: number;
  readonly distractor: number;
}

function drawContrast(index: number, seed: number): Contrast {
  const random = new RandomStream(seed, index, "phantom/contrast");
  const { organContrast, labelledPlaces, tubeContrast, distractorContrast } = PHANTOM_DIFFICULTY;
  // Multiples of the golden ratio fill [0, 1) evenly whatever the number of cases: even a small data set
  // spans the range, and seeds differ in detail only.
  const shift = new RandomStream(seed, 0, "phantom/contrast-shift").uniform();
  const even = (index * 0.6180339887498949 + shift) % 1;
  const [low, high] = organContrast;
  const place = labelledPlaces[index];
  const organ = low + (high - low) * (place ?? even);
  return {
    organ: 1 + organ,
    tube: 1 + organ * between(random, tubeContrast),
    distractor: 1 + organ * between(random, distractorContrast),
  };
}

/** Tests for a point in voxels. */
interface Anatomy {
  readonly body: Inside;
  readonly organ: Inside;
  readonly tube: Inside;
  readonly distractors: Inside;
}

function drawAnatomy(random: RandomStream, shape: Vec3): Anatomy {
  const scale = shape.map((extent, axis) => extent / (REFERENCE_SHAPE[axis] ?? 1));
  const { radiusVariation, positionVariation } = PHANTOM_DIFFICULTY;
  const vary = (length: number): number => length * (1 + radiusVariation * (2 * random.uniform() - 1));
  const jitter = (length: number): number => length * (2 * random.uniform() - 1);
  const shift = [jitter(positionVariation), jitter(positionVariation), jitter(0.75 * positionVariation)];
  /** A point of the 64 x 64 x 48 plan, moved by `own` at random and with the whole anatomy. */
  const place = (x: number, y: number, z: number, own: number): Vec3 => [
    (x + (shift[0] ?? 0) + jitter(own)) * (scale[0] ?? 1),
    (y + (shift[1] ?? 0) + jitter(own)) * (scale[1] ?? 1),
    (z + (shift[2] ?? 0) + jitter(0.75 * own)) * (scale[2] ?? 1),
  ];
  const ball = (centre: Vec3, rx: number, ry: number, rz: number): Ball => ({
    centre,
    radii: [vary(rx) * (scale[0] ?? 1), vary(ry) * (scale[1] ?? 1), vary(rz) * (scale[2] ?? 1)],
    turn: jitter(0.6),
  });
  const girth = (length: number): number =>
    vary(length) * Math.cbrt((scale[0] ?? 1) * (scale[1] ?? 1) * (scale[2] ?? 1));
  const own = positionVariation / 2;
  const middle: Vec3 = [shape[0] / 2, shape[1] / 2, shape[2] / 2];
  const body = ellipsoid({
    centre: middle,
    radii: [shape[0] * 0.46, shape[1] * 0.44, shape[2] * 0.52],
    turn: jitter(0.1),
  });
  const organ = insideAny([
    ellipsoid(ball(place(24, 30, 24, 0), 13, 15, 11)),
    ellipsoid(ball(place(29, 40, 21, own), 9, 8, 7.5)),
    ellipsoid(ball(place(20, 21, 28, own), 8, 9, 7.5)),
  ]);
  const bentTube = tube({
    from: place(39, 20, 13, own),
    by: place(48, 32, 22, own * 1.5),
    to: place(38, 44, 35, own),
    radius: girth(7.5),
  });
  const distractors = insideAny([
    ellipsoid(ball(place(52, 41, 28, own), 6, 7.5, 7.5)),
    ellipsoid(ball(place(28, 53, 30, own), 6, 4.5, 6)),
    tube({
      from: place(32, 12, 12, own),
      by: place(38, 11, 24, own),
      to: place(44, 14, 38, own),
      radius: girth(4),
    }),
  ]);
  return { body, organ, tube: bentTube, distractors };
}

/** Noise-free image and the label; where shapes meet, tube wins over organ over distractor. */
function paint(anatomy: Anatomy, contrast: Contrast, shape: Vec3, label: Uint8Array): Float32Array {
  const data = new Float32Array(label.length);
  let at = 0;
  for (let z = 0; z < shape[2]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let x = 0; x < shape[0]; x++, at++) {
        if (anatomy.tube(x, y, z)) {
          label[at] = 2;
          data[at] = contrast.tube;
        } else if (anatomy.organ(x, y, z)) {
          label[at] = 1;
          data[at] = contrast.organ;
        } else if (anatomy.body(x, y, z)) {
          data[at] = anatomy.distractors(x, y, z) ? contrast.distractor : 1;
        }
      }
    }
  }
  return data;
}

/** Texture, point spread, bias field, noise, and whole numbers as a scanner stores them; in place. */
function degrade(data: Float32Array, shape: Vec3, index: number, seed: number): void {
  const settings = PHANTOM_DIFFICULTY;
  const random = new RandomStream(seed, index, "phantom/scanner");
  const blur = between(random, settings.blur);
  const noise = between(random, settings.noise);
  const bias = drawBias(random, shape);
  const texture = drawTexture(index, seed, shape);
  for (const [i, value] of texture.entries()) data[i] = (data[i] ?? 0) * (1 + value);
  smoothInPlace(data, shape, blur);
  const random2 = new RandomStream(seed, index, "phantom/noise");
  let at = 0;
  for (let z = 0; z < shape[2]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let x = 0; x < shape[0]; x++, at++) {
        const signal = (data[at] ?? 0) * bias(x, y, z);
        // Magnitude of a complex signal, as MRI has it: noise stays visible in the air.
        const value = Math.hypot(signal + noise * random2.normal(), noise * random2.normal());
        data[at] = Math.round(TISSUE_LEVEL * value);
      }
    }
  }
}

function drawTexture(index: number, seed: number, shape: Vec3): Float32Array {
  const { textureStrength, textureWidth } = PHANTOM_DIFFICULTY;
  const random = new RandomStream(seed, index, "phantom/texture");
  const texture = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let i = 0; i < texture.length; i++) texture[i] = random.normal();
  smoothInPlace(texture, shape, textureWidth);
  let sum = 0;
  for (const value of texture) sum += value * value;
  const gain = textureStrength / Math.sqrt(sum / texture.length);
  for (let i = 0; i < texture.length; i++) texture[i] = (texture[i] ?? 0) * gain;
  return texture;
}

/** A gain that changes by a factor of at most exp(+-biasStrength), half a wave or less over the volume. */
function drawBias(random: RandomStream, shape: Vec3): Inside<number> {
  const direction = [random.normal(), random.normal(), random.normal()];
  const length = Math.hypot(...direction) || 1;
  const phase = Math.PI * 2 * random.uniform();
  const strength = PHANTOM_DIFFICULTY.biasStrength * (0.5 + 0.5 * random.uniform());
  const [ux = 0, uy = 0, uz = 0] = direction.map(
    (part, axis) => (Math.PI * part) / (length * (shape[axis] ?? 1)),
  );
  return (x, y, z) => Math.exp(strength * Math.sin(ux * x + uy * y + uz * z + phase));
}

/** Turned about the z axis by up to 20 degrees, x running from left to right or back, origin off centre. */
function obliqueAffine(index: number, seed: number): Affine {
  const random = new RandomStream(seed, index, "phantom/affine");
  const turn = ((2 * random.uniform() - 1) * Math.PI) / 9;
  const flip = random.integer(2) === 0 ? -1 : 1;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const [dx, dy, dz] = SPACING;
  const rows: Affine = [
    [flip * cos * dx, -sin * dy, 0, Math.round(-50 * flip + 10 * random.normal())],
    [flip * sin * dx, cos * dy, 0, Math.round(-40 + 10 * random.normal())],
    [0, 0, dz, Math.round(20 * random.normal())],
    [0, 0, 0, 1],
  ];
  // As the header stores them, so that what is read back is what was written.
  return rows.map(([a, b, c, d]) => [Math.fround(a), Math.fround(b), Math.fround(c), d]);
}
