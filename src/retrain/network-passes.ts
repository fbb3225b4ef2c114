import { UsageError } from "../errors.js";
import type { Value } from "../graph/graph.js";
import type { NetworkContext } from "../graph/layers.js";
import type { WeightSet } from "../graph/weights.js";
import {
  type DecoderMaps,
  type EncoderMaps,
  padded,
  paddedExtent,
  type SegmenterNetwork,
  type SegmenterSize,
  unpadded,
} from "../models/segmenter.js";
import type { ForwardOptions, StepContext } from "./methods/method.js";

/** What a step's methods can do with networks. */
type NetworkPasses = Pick<StepContext, "encode" | "decode" | "head" | "forward" | "scales" | "layers">;

/**
 * Passes of networks of one architecture in a step's graph. Two of a part that shared a name would drop the same
 * channels. Crops whose extents are no multiples of 16 are padded for the encoder; what the decoder gives at their
 * resolution has their extents again.
 *
 * @param crops the step's images [N, D, H, W, C]
 */
export function networkPasses(
  network: SegmenterNetwork,
  size: SegmenterSize,
  crops: Value,
  rng: Value,
): NetworkPasses {
  const { graph } = crops;
  // Cubes, which are smaller, are cut of crops without padding alone.
  const whole = crops.shape.slice(1, 4).every((extent) => paddedExtent(extent) === extent);
  const own = (map: Value): Value => (whole ? map : unpadded(map, crops.shape));
  const known = new Set<string>();
  const layers = (weights: WeightSet): NetworkContext => ({
    graph,
    weights,
    training: true,
    updateStatistics: true,
    rng,
  });
  const passOf =
    <Input, Output>(part: string, build: (ctx: NetworkContext, x: Input) => Output) =>
    (weights: WeightSet, x: Input, { pass = "", updateStatistics = true }: ForwardOptions = {}): Output => {
      const name = `${pass}/${weights.name}/${part}`;
      if (known.has(name))
        throw new UsageError(
          `retrain: expected a name of its own for another pass of '${weights.name}', received '${pass}'`,
        );
      known.add(name);
      return graph.within(pass, () => build({ ...layers(weights), updateStatistics }, x));
    };
  const encode = passOf("encoder", (ctx, x: Value) => network.encode(ctx, padded(x), size));
  const decode = passOf("decoder", (ctx, maps: EncoderMaps): DecoderMaps => {
    const [finest, ...coarser] = network.decode(ctx, maps, size);
    return [own(finest), ...coarser];
  });
  const head = (weights: WeightSet, map: Value) => network.head(layers(weights), map, size);
  return {
    layers,
    encode,
    decode,
    head,
    forward: (weights, images, options) =>
      head(weights, decode(weights, encode(weights, images, options), options)[0]),
    scales: passOf("heads", (ctx, [finest, ...coarser]: DecoderMaps) => {
      const { coarseHead, title } = network;
      if (coarseHead === undefined)
        throw new UsageError(`retrain: expected a network with deep-supervision heads, received a ${title}`);
      return [
        network.head(ctx, finest, size),
        ...coarser.map((map, i) => own(coarseHead(ctx, map, i + 1, size))),
      ];
    }),
  };
}
