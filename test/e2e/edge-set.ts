import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { ImageVolume, Vec3 } from "../../src/data/volume.js";
import { writePhantoms } from "./phantom-files.js";

/** What a data set has beside the usual. */
export interface EdgeSet {
  /** Extents of a case, voxels (x, y, z); 26 x 25 x 24 by default. */
  readonly extents?: Vec3;
  /** Labelled cases; 2 by default. */
  readonly labelled?: number;
  /** Organs; 2 by default. More are slabs of them. */
  readonly organs?: number;
  /** Channels, of which this one is the phantom; the others are made of it. 1 of 1 by default. */
  readonly channels?: number;
  readonly phantomChannel?: number;
}

const settings = {
  name: "edge",
  patch: [16, 16, 16],
  sam: { size: "tiny", canvas: 64 },
  // After so few steps only a low rate leaves a SAM that says something else than background.
  finetune: { steps: 3, batch: 1, warmup: 1, learningRate: 1e-5 },
  segmenter: { filters: 2 },
  retrain: { steps: 4 },
  exchange: { steps: 2, threshold: 0.511 },
  predict: { stride: [16, 10, 16] },
  arms: [
    { method: "sam" },
    { method: "mean-teacher", pseudoLabels: "sam" },
    { method: "mean-teacher", pseudoLabels: "exchange" },
  ],
  checkpointEvery: 10,
  seed: 5,
} as const;

/** Folders of the arms of the usual settings. */
export const edgeArms = ["sam-random-start", "sfr-random-sam", "sfr-plus-random-sam"] as const;

/**
 * Writes phantoms in nnU-Net's layout below `root`, labelled ones, 2 unlabelled and 1 test case, and a configuration.
 *
 * @param change settings that differ from the usual ones
 * @returns paths of data and configuration
 */
export async function writeEdgeSet(
  root: string,
  edge: EdgeSet,
  change: object = {},
): Promise<{ data: string; config: string }> {
  const { extents, labelled = 2, organs = 2, channels = 1 } = edge;
  const data = join(root, "data");
  const parts = [...new Array<string>(labelled).fill("Tr"), "Un", "Un", "Ts"];
  const imagesOf = (image: ImageVolume) =>
    Object.fromEntries(
      Array.from({ length: channels }, (_, channel) => [
        `_000${channel}`,
        channelOf(image, channel - (edge.phantomChannel ?? 0)),
      ]),
    );
  await writePhantoms(data, { parts, extents, imagesOf, idsOf: (label) => slabs(label, organs) });
  const names = (count: number, name: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [i, `${name} ${i}`]));
  const labels = Object.fromEntries(
    Object.entries(names(organs + 1, "class")).map(([id, name]) => [name, Number(id)]),
  );
  await writeFile(
    join(data, "dataset.json"),
    JSON.stringify({ channel_names: names(channels, "channel"), labels, file_ending: ".nii.gz" }),
  );
  const config = join(root, "edge.yaml");
  const { data: moreOfData, ...rest } = { data: {}, ...change };
  const split = { root: data, labelled, test: 1, ...moreOfData };
  await writeFile(config, stringify({ ...settings, ...rest, data: split }));
  return { data, config };
}

/** The phantom itself for 0, else other intensities of it. */
function channelOf(image: ImageVolume, kind: number): ImageVolume {
  return kind === 0
    ? image
    : { ...image, data: image.data.map((value, i) => Math.sin(kind * value) + Math.cos(i)) };
}

/** Foreground cut into as many slabs as there are organs, in the order of the voxels. */
function slabs(label: Uint8Array, organs: number): Uint8Array {
  if (organs === 2) return label;
  const total = label.reduce((count, id) => count + (id > 0 ? 1 : 0), 0);
  let seen = 0;
  return label.map((id) => (id > 0 ? 1 + Math.floor((organs * seen++) / total) : 0));
}
