import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { roundTrip } from "../../src/data/check/round-trip.js";
import { nifti } from "../../src/data/formats/nifti/nifti.js";
import { readImage } from "../../src/data/volume-file.js";
import { asStored, niftiBytes, temporaryFolder } from "./nifti-files.js";

const FIXTURES = join(process.cwd(), "test/fixtures");

test("every fixture comes back bit for bit: versions, byte orders, forms, turned and sheared axes, three formats", async () => {
  let count = 0;
  for (const folder of ["nifti", "volumes"]) {
    for (const name of await readdir(join(FIXTURES, folder))) {
      if (!/\.(nii|nii\.gz|nrrd|mha|nhdr|mhd|npz)$/.test(name) || name === "pickled.npz") continue;
      assert.deepEqual(await roundTrip(join(FIXTURES, folder, name), "image", null), [], name);
      count++;
    }
  }
  assert.ok(count > 60, `${count} files`);
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith("sfr-roundtrip-"));
  assert.deepEqual(left, []);
});

test("labels come back with their ids, a frame as the volume that it is", async (t) => {
  const path = join(await temporaryFolder(t), "a.nii");
  await writeFile(path, niftiBytes(asStored));
  assert.deepEqual(await roundTrip(path, "label", null), []);
  const two = niftiBytes(asStored, (view) => {
    view.setInt16(40, 4, true);
    view.setInt16(48, 2, true);
  });
  const channels = Buffer.concat([two, two.subarray(352)]);
  await writeFile(path, channels);
  assert.deepEqual(await roundTrip(path, "image", 1), []);
  assert.deepEqual(await roundTrip(path, "image", null), [], "each of its channels");
  await writeFile(path, channels.subarray(0, -1));
  await assert.rejects(roundTrip(path, "image", null), /a\.nii: expected 24 voxels .*received fewer/);
});

test("what a result keeps of a header is all but the fields of the voxels", async (t) => {
  const path = join(await temporaryFolder(t), "a.nii");
  await writeFile(path, niftiBytes(asStored));
  const { grid } = await readImage(path);
  assert.ok(grid?.header && nifti.kept);
  const kept = nifti.kept(grid.header);
  for (const [offset, isKept] of [
    [39, true], // dim_info
    [46, true], // dim[3]
    [70, false], // datatype
    [88, true], // pixdim[3]
    [123, true], // xyzt_units
    [148, false], // descrip
    [228, true], // aux_file
    [256, true], // quatern_b
    [290, true], // srow_x
  ] as const) {
    const bytes: Uint8Array = Uint8Array.from(grid.header.bytes);
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    assert.equal(nifti.kept({ ...grid.header, bytes }) !== kept, isKept, `byte ${offset}`);
  }
});

test("a writer that loses something is found", async (t) => {
  const path = join(await temporaryFolder(t), "a.nii");
  await writeFile(path, niftiBytes(asStored));
  const plan = nifti.plan;
  assert.ok(plan);
  const spoil = (edit: (head: Uint8Array) => void): void => {
    Object.assign(nifti, {
      plan: (...given: Parameters<typeof plan>) => {
        const planned = plan(...given);
        edit(planned.head);
        return planned;
      },
    });
  };
  t.after(() => Object.assign(nifti, { plan }));
  for (const [edit, message] of [
    [(head) => head.fill(65, 282, 283), /expected affine|damaged|different directions/],
    [(head) => head.fill(1, 228, 230), /the header's other fields/],
    [(head) => head.fill(0, 42, 44).fill(3, 42, 43), /voxels/],
  ] as const satisfies readonly (readonly [(head: Uint8Array) => void, RegExp])[]) {
    spoil(edit);
    const found = await roundTrip(path, "image", null).catch((error: Error) => [error.message]);
    assert.match(found.join("\n"), message);
  }
});
