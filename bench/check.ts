/** Whether our result is the peer's, before anything is timed. */
import { SfrError } from "../src/errors.js";
import type { HostTensor } from "../src/io/host-tensor.js";

/** What a run computed, by name, in PyTorch's axis order. */
export type CheckedValues = ReadonlyMap<string, ArrayLike<number>>;

const sampleCount = 4096;

/** Which entries of a result are compared: all up to 4096, else (j * 2654435761 + 97) mod count, as inputs.py has it. */
export function sampleIndices(count: number): number[] {
  const kept = Math.min(count, sampleCount);
  return Array.from({ length: kept }, (_, j) => (kept === count ? j : (j * 2654435761 + 97) % count));
}

/**
 * Sampled entries of a tensor in memory, in the order of PyTorch's axes: memory axis i is axis `order[i]` of
 * `torchShape`.
 */
export function sampled(
  memory: ArrayLike<number>,
  torchShape: readonly number[],
  order: readonly number[],
): number[] {
  const strides = new Array<number>(torchShape.length).fill(1);
  let stride = 1;
  for (const axis of [...order].reverse()) {
    strides[axis] = stride;
    stride *= torchShape[axis] ?? 1;
  }
  return sampleIndices(memory.length).map((index) => {
    let rest = index;
    let at = 0;
    for (let axis = torchShape.length - 1; axis >= 0; axis--) {
      const extent = torchShape[axis] ?? 1;
      at += (rest % extent) * (strides[axis] ?? 1);
      rest = Math.floor(rest / extent);
    }
    return memory[at] ?? Number.NaN;
  });
}

/**
 * Compares a result with a peer's check file: per tensor the largest absolute difference relative to the root mean
 * square of the peer's values.
 *
 * @returns the largest of these errors
 * @throws SfrError ("internal") naming the tensor when one is above `tolerance`, is missing or has another size
 */
export function checkAgainstPeer(
  where: string,
  ours: CheckedValues,
  peer: ReadonlyMap<string, HostTensor>,
  tolerance: number,
): number {
  let largest = 0;
  for (const [name, { data }] of peer) {
    const error = relativeError(ours.get(name), Array.from<number | bigint, number>(data, Number));
    if (!(error <= tolerance))
      throw new SfrError(
        "internal",
        `${where}: expected an error of at most ${tolerance} against the peer for ${name}, received ${error}; ` +
          "nothing was timed: one of the two computes something else",
      );
    largest = Math.max(largest, error);
  }
  return largest;
}

function relativeError(ours: ArrayLike<number> | undefined, peer: readonly number[]): number {
  if (ours === undefined || ours.length !== peer.length || peer.length === 0) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let squares = 0;
  for (const [i, expected] of peer.entries()) {
    const distance = Math.abs((ours[i] ?? Number.NaN) - expected);
    if (Number.isNaN(distance)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, distance);
    squares += expected * expected;
  }
  return difference === 0 ? 0 : difference / Math.sqrt(squares / peer.length);
}
