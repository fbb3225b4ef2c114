import { UsageError } from "../errors.js";

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const UNIT = 2 ** -24;

/** Four 32-bit words. */
export type Words4 = readonly [number, number, number, number];

/** High 32 bits of the 64-bit product of two 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aLow * bHigh + aHigh * bLow + ((aLow * bLow) >>> 16);
  return (aHigh * bHigh + Math.floor(middle / 65536)) >>> 0;
}

/**
 * Philox4x32-10, the counter-based generator of Salmon et al. 2011 ("Parallel random numbers: as easy
 * as 1, 2, 3"); equal to Random123's philox4x32 and to the generator of the native part.
 */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Number of a named stream: FNV-1a, 32 bits, of the name in UTF-8. */
export function streamId(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/**
 * Random numbers addressed by (seed, step, stream name): the same three give the same numbers in every
 * process and on every device. Counter words are (low and high word of the block number, step, stream
 * id), key words are (low, high word of the seed); element i is word i % 4 of block floor(i / 4).
 *
 * Element i of a stream read with `uniform()` alone is `(word >>> 8) * 2^-24`. Element i of a stream
 * read with `normal()` alone is Box-Muller of words (2j, 2j + 1), j = floor(i / 2): cosine for even i,
 * sine for odd i, with `u1 = ((word >>> 8) + 1) * 2^-24`. When kinds are mixed, normals start at the
 * next even word and a half-used pair is dropped, so that no word serves twice.
 */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #step: number;
  readonly #stream: number;
  #words: Words4 = [0, 0, 0, 0];
  #block = -1;
  #position = 0;
  #spareNormal: number | null = null;

  /** @throws UsageError when seed or step is not a non-negative integer (step below 2^32). */
  constructor(seed: number, step: number, name: string) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new UsageError(
        `random: expected an integer 0..2^53-1 for seed, received ${seed}; choose another seed`,
      );
    }
    if (!Number.isInteger(step) || step < 0 || step > 0xffffffff) {
      throw new UsageError(
        `random: expected an integer 0..2^32-1 for step, received ${step}; choose another step`,
      );
    }
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32)];
    this.#step = step;
    this.#stream = streamId(name);
  }

  /** The next word, 0..2^32-1. */
  word(): number {
    this.#spareNormal = null;
    const block = Math.floor(this.#position / 4);
    if (block !== this.#block) {
      this.#words = philox4x32(
        [block >>> 0, Math.floor(block / 2 ** 32), this.#step, this.#stream],
        this.#key,
      );
      this.#block = block;
    }
    return this.#words[(this.#position++ % 4) as 0 | 1 | 2 | 3];
  }

  /** Uniform in [0, 1), a multiple of 2^-24. */
  uniform(): number {
    return (this.word() >>> 8) * UNIT;
  }

  /** Standard normal. */
  normal(): number {
    const spare = this.#spareNormal;
    if (spare !== null) {
      this.#spareNormal = null;
      return spare;
    }
    this.#position += this.#position % 2;
    const radius = Math.sqrt(-2 * Math.log(((this.word() >>> 8) + 1) * UNIT));
    const angle = 2 * Math.PI * ((this.word() >>> 8) * UNIT);
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /**
   * Uniform integer in [0, n), 1 <= n <= 2^32: the high word of word * n. No value is drawn again, so
   * the number of words used does not depend on them; the bias is below n / 2^32.
   */
  integer(n: number): number {
    return n === 2 ** 32 ? this.word() : multiplyHigh(this.word(), n);
  }

  /** Beta(a, b) by Joehnk's method, which suits a, b <= 1: it draws uniforms until a pair fits. */
  beta(a: number, b: number): number {
    for (;;) {
      const [x, y] = [this.uniform() ** (1 / a), this.uniform() ** (1 / b)];
      if (x + y > 0 && x + y <= 1) return x / (x + y);
    }
  }

  /** A random order of 0..n-1 (Fisher-Yates from the end). */
  permutation(n: number): number[] {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const kept = order[i] ?? i;
      order[i] = order[j] ?? j;
      order[j] = kept;
    }
    return order;
  }
}
