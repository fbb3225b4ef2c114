import type { Tensor } from "../native/tensor.js";

/** Logits as an exported file gives them, [N, K, ..], in our order of axes: fills `to` [N, .., K]. Both f32. */
export function channelsLast(from: Tensor, to: Tensor): void {
  const [samples = 1, channels = 1] = from.shape;
  const [source, target] = [from.f32, to.f32];
  forEachRun(from.count, samples, channels, (begin, places, first) => {
    for (let place = 0, at = first; place < places; place++, at += channels)
      target[at] = source[begin + place] ?? 0;
  });
}

/** The converse: our values [N, .., C], or [N, ..] of one channel, fill `to` [N, C, ..]. Both f32. */
export function channelsFirst(from: Tensor, to: Tensor): void {
  const [samples = 1, channels = 1] = to.shape;
  const [source, target] = [from.f32, to.f32];
  forEachRun(to.count, samples, channels, (begin, places, first) => {
    for (let place = 0, at = first; place < places; place++, at += channels)
      target[begin + place] = source[at] ?? 0;
  });
}

/** Each channel of each sample: where its values begin with channels first, how many, and the first with channels last. */
function forEachRun(
  count: number,
  samples: number,
  channels: number,
  visit: (begin: number, places: number, first: number) => void,
): void {
  const places = count / samples / channels;
  for (let sample = 0; sample < samples; sample++)
    for (let c = 0; c < channels; c++)
      visit((sample * channels + c) * places, places, sample * channels * places + c);
}
