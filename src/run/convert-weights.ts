import type { Voxels } from "../config/schema.js";
import { plainPlan } from "../data/preprocessing-plan.js";
import { DataError, UsageError } from "../errors.js";
import { writePth } from "../io/pth/write-pth.js";
import { writeSafetensorsFrom } from "../io/safetensors.js";
import type { TensorFile } from "../io/tensor-file.js";
import { openWeights } from "../io/weights-file.js";
import { paddedExtent } from "../models/segmenter.js";
import { segmenters } from "../models/segmenters.js";
import { recognisedSegmenter } from "../predict/segmenter.js";
import type { ModelCard } from "./model-card.js";

/** What a conversion did. */
export interface Conversion {
  readonly tensors: number;
  /** What the written file does not say, as sentences. */
  readonly notes: readonly string[];
}

/**
 * Writes the tensors of a weights file in the format that the output's name says; names, order of axes, element types
 * and values stay.
 *
 * @param patch makes a segmenter of the tensors of one: the extents of its training patch, voxels (x, y, z)
 * @throws DataError when the input cannot be read, is no segmenter though a patch was given, or the output cannot be written;
 *   UsageError for an output of another name, or a patch that does not fit
 */
export async function convertWeights(
  input: string,
  output: string,
  patch: Voxels | undefined,
): Promise<Conversion> {
  const toPth = /\.(pth|pt)$/i.test(output);
  if (!toPth && !/\.safetensors$/i.test(output))
    throw new UsageError(
      `${output}: expected .safetensors or .pth as output, received another name; rename it`,
    );
  if (toPth && patch !== undefined)
    throw new UsageError(
      `${output}: expected .safetensors as output with --patch, received .pth; leave one out`,
    );
  await using file = await openWeights(input);
  const tensors = file.tensors.size;
  if (toPth) {
    await writePth(output, file);
    const lost = Object.keys(file.metadata);
    const note = `.pth has no place for the metadata ${lost.join(", ")}: keep ${input}`;
    return { tensors, notes: lost.length === 0 ? [] : [note] };
  }
  await writeSafetensorsFrom(
    output,
    file,
    patch === undefined ? file.metadata : segmenterMetadata(file, patch),
  );
  return { tensors, notes: [] };
}

/** Metadata of a segmenter whose label ids are its classes. */
function segmenterMetadata(file: TensorFile, patch: Voxels): Record<string, string> {
  if (patch.includes(0))
    throw new UsageError(`--patch: expected at least 1 voxel, received ${patch.join(",")}; correct it`);
  const metadata = recognisedSegmenter(file.tensors, patch);
  if (metadata === undefined) {
    const known = Object.values(segmenters).map(
      ({ title, firstWeight, headWeight }) => `a ${title} (${firstWeight}, ${headWeight})`,
    );
    throw new DataError(
      `${file.path}: expected the tensors of ${known.join(" or ")}, received others; ` +
        "leave out --patch to convert them as they are",
    );
  }
  const { title, longestSide } = segmenters[metadata.model];
  if (paddedExtent(Math.max(...patch)) < longestSide)
    throw new UsageError(
      `--patch: expected at least ${longestSide} voxels along one axis for a ${title}, received ${patch.join(",")}; ` +
        "give the patch that it was trained on",
    );
  const labelIds = Array.from({ length: metadata.classes }, (_, index) => index);
  const card: ModelCard = {
    labelIds,
    labelNames: {},
    labelColors: {},
    plan: plainPlan,
    channels: metadata.channels,
    samChannel: 0,
  };
  return { sfr: JSON.stringify(metadata), data: JSON.stringify(card) };
}
