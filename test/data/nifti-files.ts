import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A folder that is gone when the test ends. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sfr-data-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Sets a field of a NIfTI-1 header by its offset in bytes. */
export type Edit = (view: DataView) => void;

/** An s-form that leaves the axes as they are. */
export const asStored: Edit = (view) => {
  view.setInt16(254, 1, true);
  for (const row of [0, 1, 2]) view.setFloat32(280 + 20 * row, 1, true);
};

/** A little-endian 2 x 3 x 4 int16 file (voxels 0..23 in memory order), changed by `edits`. */
export function niftiBytes(...edits: Edit[]): Buffer {
  const bytes = Buffer.alloc(352 + 48);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setInt32(0, 348, true);
  for (const [i, extent] of [3, 2, 3, 4, 1, 1, 1, 1].entries()) view.setInt16(40 + 2 * i, extent, true);
  view.setInt16(70, 4, true);
  view.setInt16(72, 16, true);
  for (const [i, step] of [1, 1, 1, 1.5].entries()) view.setFloat32(76 + 4 * i, step, true);
  view.setFloat32(108, 352, true);
  view.setInt8(123, 2);
  bytes.write("n+1\0", 344, "latin1");
  for (let i = 0; i < 24; i++) view.setInt16(352 + 2 * i, i, true);
  for (const edit of edits) edit(view);
  return bytes;
}
