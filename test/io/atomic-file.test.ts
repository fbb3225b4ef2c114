import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { writeFileAtomic } from "../../src/io/atomic-file.js";
import { temporaryFolder } from "../data/nifti-files.js";

test("text, bytes and pieces are written whole and leave no temporary file", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  await writeFileAtomic(path, "text");
  assert.equal(await readFile(path, "utf8"), "text");
  await writeFileAtomic(path, Uint8Array.of(1, 2));
  await writeFileAtomic(path, [Uint8Array.of(1), Uint8Array.of(2, 3)]);
  assert.deepEqual([...(await readFile(path))], [1, 2, 3]);
  assert.deepEqual(await readdir(folder), ["file"]);
});

test("a failure half-way keeps the old file and passes the error on", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  await writeFileAtomic(path, "old");
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("half");
    throw new RangeError("from the source");
  }
  await assert.rejects(writeFileAtomic(path, broken()), { name: "RangeError", message: "from the source" });
  assert.equal(await readFile(path, "utf8"), "old");
  assert.deepEqual(await readdir(folder), ["file"]);
});

test("a left-over temporary file, even a link, is replaced and not followed", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "victim"), "victim");
  await symlink(join(folder, "victim"), join(folder, ".file.tmp"));
  await writeFileAtomic(join(folder, "file"), "new");
  assert.equal(await readFile(join(folder, "victim"), "utf8"), "victim");
  assert.deepEqual((await readdir(folder)).sort(), ["file", "victim"]);
});

test("places that cannot be written are named", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "taken"));
  await assert.rejects(writeFileAtomic(join(folder, "taken"), "x"), {
    name: "DataError",
    message: /taken', received a folder at this path/,
  });
  await assert.rejects(writeFileAtomic(join(folder, "none", "x"), "x"), {
    name: "DataError",
    message: /x', received a folder that does not exist/,
  });
  assert.deepEqual(await readdir(folder), ["taken"]);
});

test("a write that the system cuts off names the path and leaves nothing behind", async (t) => {
  // A limit on the file size stands for the full disk: it too fails in the middle of a write.
  const folder = await temporaryFolder(t);
  const path = join(folder, "large");
  const module = pathToFileURL(join(process.cwd(), "dist/src/io/atomic-file.js")).href;
  const script = `import { writeFileAtomic } from "${module}";
    await writeFileAtomic(${JSON.stringify(path)}, new Uint8Array(1e6)).catch((error) => {
      console.log(error.name + " " + error.message);
    });`;
  const command = 'trap "" XFSZ; ulimit -f 8; exec "$0" --input-type=module -e "$1"';
  const { stdout } = await promisify(execFile)("sh", ["-c", command, process.execPath, script]);
  assert.match(stdout, /^DataError write: expected to write '.*large', received a file larger than/);
  assert.deepEqual(await readdir(folder), []);
});
