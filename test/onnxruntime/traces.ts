/**
 * `traces.js sfr c|node`: runs a network in ONNX Runtime through this package; `traces.js plain`: through onnxruntime-node
 * alone. Prints what files, threads and sockets there are afterwards, as JSON.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";

const [how, way] = process.argv.slice(2);
const before = threads().length;
if (how === "sfr") {
  const { fixture, openSession } = await import("./sessions.js");
  const { Tensor } = await import("../../src/native/tensor.js");
  const session = await openSession(fixture("affine"), way === "node" ? "node" : "c");
  await session.run({ x: Tensor.zeros("f32", [1, 3]) }, { y: Tensor.zeros("f32", [1, 3]) });
} else {
  const ort = createRequire(import.meta.url)("onnxruntime-node") as {
    InferenceSession: { create(path: URL | string): Promise<unknown> };
  };
  const { pathname } = new URL("../../../test/fixtures/onnx/affine.onnx", import.meta.url);
  await ort.InferenceSession.create(pathname);
}
// Its files and its thread are there as soon as its environment is made; the look-up would follow after nine seconds.
await setTimeout(500);
const home = process.env.HOME ?? "";
console.log(
  JSON.stringify({
    files: readdirSync(home, { recursive: true }),
    threads: threads().length - before,
    // The first three are pipes to whoever started this, which Node makes of sockets.
    sockets: readdirSync("/proc/self/fd").filter((fd) => Number(fd) > 2 && linkOf(fd).startsWith("socket:")),
  }),
);
process.exit(0);

function threads(): string[] {
  return readdirSync("/proc/self/task").map((id) =>
    readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim(),
  );
}

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
