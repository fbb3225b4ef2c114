import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Content, VolumeFormat, VoxelHeader } from "../formats/format.js";
import { formatOf } from "../formats/index.js";
import { gridDifference } from "../grid-match.js";
import type { Affine } from "../volume.js";
import {
  countChannels,
  gridInMemory,
  readImage,
  readLabels,
  streamVolume,
  writeImage,
  writeLabels,
} from "../volume-file.js";

/** A volume as its file has it. */
interface Stored {
  readonly header: VoxelHeader;
  /** SHA-256 of the values, in the order of the file or in memory's. */
  readonly hash: string;
}

/**
 * Takes a volume the way of every result: read, axes turned to memory's orientation, written back in the order of its
 * file to a temporary folder; then compares both files. Of an image of several channels each goes this way, as results
 * have one.
 *
 * @param frame which volume of a 4D image, from 0; null: all, as channels
 * @returns what did not come back as it was, a line each: voxels, extents, affine, spacing or header
 * @throws DataError when a file cannot be read or written
 */
export async function roundTrip(path: string, content: Content, frame: number | null): Promise<string[]> {
  const channels = content === "image" && frame === null ? await countChannels(path) : 1;
  if (channels === 1) return roundTripOfOne(path, content, frame);
  const found: string[] = [];
  for (let channel = 0; channel < channels; channel++)
    found.push(...(await roundTripOfOne(path, content, channel)));
  return [...new Set(found)];
}

async function roundTripOfOne(path: string, content: Content, frame: number | null): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "sfr-roundtrip-"));
  try {
    const format = formatOf(path);
    const copy = join(folder, `copy${format.resultExtension}`);
    if (content === "label") {
      const labels = await readLabels(path, frame);
      await writeLabels(copy, labels, labels);
    } else {
      await writeImage(copy, await readImage(path, frame));
    }
    // Files of NumPy and HDF5 may have their voxels in another order than any that is written.
    const inFileOrder = format.plan !== undefined;
    const before = await readStored(path, { content, frame }, inFileOrder);
    const after = await readStored(copy, { content, frame: null }, inFileOrder);
    return differences(before, after, format.kept).map(
      (difference) =>
        `${path}: ${difference}; this is a fault of the program, please report it with the file`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readStored(
  path: string,
  { content, frame }: { readonly content: Content; readonly frame: number | null },
  inFileOrder: boolean,
): Promise<Stored> {
  const hash = createHash("sha256");
  const header = await streamVolume(path, { content, frame }, () => (values, count) => {
    if (inFileOrder) hash.update(Float32Array.from(values.subarray(0, count)));
  });
  if (!inFileOrder) {
    const { data } = await (content === "label" ? readLabels : readImage)(path, frame);
    hash.update(data);
  }
  return { header, hash: hash.digest("hex") };
}

function differences(before: Stored, after: Stored, kept: VolumeFormat["kept"]): string[] {
  const found: string[] = [];
  const compare = (what: string, expected: string, received: string): void => {
    if (expected !== received) found.push(`expected ${what} ${expected}, received ${received}`);
  };
  compare("voxels", before.header.shape.join(" x "), after.header.shape.join(" x "));
  if (before.hash !== after.hash) found.push("expected the same voxels back, received others");
  const { source, affine, spacing } = before.header;
  if (source !== null) {
    // The header is copied, so nothing may be rounded.
    compare("affine", text(affine), text(after.header.affine));
    compare("spacing", String(spacing), String(after.header.spacing));
    if (kept?.(source) !== (after.header.source && kept?.(after.header.source)))
      found.push("expected the header's other fields back as they were, received others");
  } else if (affine !== null) {
    // A new header, which rounds to float32.
    const difference = gridDifference(gridInMemory(before.header), gridInMemory(after.header));
    if (difference) found.push(`expected ${difference.expected}, received ${difference.received}`);
  }
  return found;
}

const text = (affine: Affine | null): string => String(affine?.slice(0, 3).flat());
