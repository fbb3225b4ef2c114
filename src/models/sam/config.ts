/** Size of a Segment Anything network without prompts. */
export interface SamConfig {
  /** Encoder token width, number of blocks and attention heads. */
  width: number;
  depth: number;
  heads: number;
  /** Blocks (0-based) whose attention is global; the others use windows of `window` x `window` tokens. */
  globalBlocks: readonly number[];
  window: number;
  /** Side of the square input in pixels, a multiple of 16. */
  canvas: number;
  /** K mask tokens, one per class, background included. */
  classes: number;
  /** Channels of the encoder's neck and of the mask decoder. */
  decoderWidth: number;
  /** Hidden width of the two-way transformer's MLPs. */
  decoderMlp: number;
  /** Hidden width of the (unused) IoU head. */
  iouHidden: number;
}

/** Pixels per side of a token's patch. */
export const samPatch = 16;

const decoder = { decoderWidth: 256, decoderMlp: 2048, iouHidden: 256, window: 14 } as const;

/** The published sizes and `tiny`, which trains from scratch on a CPU. */
const samSizes = {
  tiny: { width: 96, depth: 4, heads: 3, globalBlocks: [1, 3], ...decoder },
  vit_b: { width: 768, depth: 12, heads: 12, globalBlocks: [2, 5, 8, 11], ...decoder },
  vit_l: { width: 1024, depth: 24, heads: 16, globalBlocks: [5, 11, 17, 23], ...decoder },
  vit_h: { width: 1280, depth: 32, heads: 16, globalBlocks: [7, 15, 23, 31], ...decoder },
} as const satisfies Record<string, Omit<SamConfig, "canvas" | "classes">>;

export type SamSize = keyof typeof samSizes;

const samSizeNames: readonly SamSize[] = ["tiny", "vit_b", "vit_l", "vit_h"];

/** Configuration of a size for a canvas of `canvas` pixels and K classes. */
export function samConfig(size: SamSize, canvas: number, classes: number): SamConfig {
  return { ...samSizes[size], canvas, classes };
}

/** The published size whose encoder has this width; undefined when there is none. */
export function samSizeOfWidth(width: number): SamSize | undefined {
  return samSizeNames.find((size) => samSizes[size].width === width);
}
