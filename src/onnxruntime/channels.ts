import type { Tensor } from "../native/tensor.js";

/** Logits as an exported file gives them, [N, K, ..], in our order of axes: fills `to` [N, .., K]. Both f32. */
export function channelsLast(from: Tensor, to: Tensor): void {
  const [samples = 1, classes = 1] = from.shape;
  const places = from.count / samples / classes;
  const [source, target] = [from.f32, to.f32];
  for (let sample = 0; sample < samples; sample++)
    for (let k = 0; k < classes; k++) {
      const begin = (sample * classes + k) * places;
      let at = sample * classes * places + k;
      for (let place = begin; place < begin + places; place++) {
        target[at] = source[place] ?? 0;
        at += classes;
      }
    }
}
