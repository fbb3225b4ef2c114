/** Linear interpolation along the middle axis of [outer, from, inner] -> [outer, to, inner], half-pixel centres. */
export function resizeLinear(
  x: Float32Array,
  outer: number,
  from: number,
  to: number,
  inner: number,
): Float32Array<ArrayBuffer> {
  const y = new Float32Array(outer * to * inner);
  for (let i = 0; i < to; i++) {
    const position = Math.max(((i + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(position), from - 1);
    const high = Math.min(low + 1, from - 1);
    const share = position - low;
    for (let o = 0; o < outer; o++)
      for (let c = 0; c < inner; c++) {
        const a = x[(o * from + low) * inner + c] ?? 0;
        const b = x[(o * from + high) * inner + c] ?? 0;
        y[(o * to + i) * inner + c] = a + share * (b - a);
      }
  }
  return y;
}
