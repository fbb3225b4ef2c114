/** Which of `classes` values, `step` apart from position `begin` on, is the largest; the first among equals. */
export function argmaxAt(values: Float32Array, begin: number, step: number, classes: number): number {
  let best = 0;
  for (let k = 1; k < classes; k++)
    if ((values[begin + k * step] ?? 0) > (values[begin + best * step] ?? 0)) best = k;
  return best;
}
