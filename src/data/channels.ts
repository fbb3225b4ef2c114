/**
 * One channel of voxels [.., C] with the channels last -> [..]; the values themselves where there is but one.
 *
 * @param channels C
 */
export function channelOf(values: Float32Array, channels: number, channel: number): Float32Array {
  if (channels === 1) return values;
  return Float32Array.from(
    { length: values.length / channels },
    (_, i) => values[i * channels + channel] ?? 0,
  );
}
