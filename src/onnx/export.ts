import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataError, SfrError, UsageError } from "../errors.js";
import { Graph, type Value } from "../graph/graph.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { engineInfo } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { OnnxRuntime } from "../onnxruntime/runtime.js";
import { version } from "../version.js";
import { batchMark, Lowerer } from "./lowering.js";
import { lowerings } from "./lowerings.js";
import { encodeModel, type OnnxModel } from "./model.js";
import { logitDistance, measureParity, type Parity, parityBound } from "./parity.js";

/** A network to write. In the file its input and output are channels first. */
export interface ExportSpec {
  readonly title: string;
  /** `shape`: without the batch, channels last. */
  readonly input: { readonly name: string; readonly shape: readonly number[]; readonly help: string };
  readonly output: { readonly name: string; readonly help: string };
  /** input [N, .., C] -> logits [N, .., K]. */
  forward(graph: Graph, input: Value): Value;
  /** Free text by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** That of ONNX 1.15, the first with GELU. */
const opset = 20;

/** 8 MB of f32 stay in the caches; larger pieces of ViT-B's scores and layers took longer, smaller ones no less. */
const usualElements = 2 ** 21;

/**
 * A network as ONNX nodes, from its graph before fusion.
 *
 * @param elementsAtATime most elements of one sample that large products of a transformer give at a time
 * @throws UsageError naming an op that has no lowering
 */
export function onnxModel(spec: ExportSpec, elementsAtATime = usualElements): OnnxModel {
  const graph = new Graph();
  const input = graph.input(spec.input.name, "f32", [batchMark, ...spec.input.shape]);
  const logits = spec.forward(graph, input);
  const lowerer = new Lowerer(lowerings, elementsAtATime);
  const inputs = [lowerer.input(input, spec.input.name, spec.input.help)];
  const outputs = [lowerer.output(logits, spec.output.name, spec.output.help)];
  const { nodes, constants } = lowerer;
  const producer = { name: "sfr", version };
  const { title: name, metadata } = spec;
  return { name, producer, help: name, opset, nodes, constants, inputs, outputs, metadata };
}

/** What to hold a file against: values of one input [1, .., C], and what they are. */
export interface TestInput {
  readonly title: string;
  readonly values: Float32Array;
}

/** What was written. */
export interface Exported {
  readonly files: readonly string[];
  /** Null when there was no ONNX Runtime to compare in. */
  readonly parity: Parity | null;
}

/**
 * Writes a network, after it was held against the native engine: FILE.onnx, weights beside it in FILE.onnx.data when
 * they are too large for one file, and the comparison as FILE.parity.json. All of them appear at the end or none.
 *
 * @param path of the file, ending in .onnx
 * @param options.runtime what the file is compared in; undefined: in nothing
 * @throws UsageError when a file is there or the name is another; DataError when it cannot be written; SfrError when
 *   results differ by more than rounding explains; DeviceError when ONNX Runtime lacks memory; CancelledError when it
 *   was stopped
 */
export async function exportOnnx(
  spec: ExportSpec,
  path: string,
  options: { test: TestInput; runtime: OnnxRuntime | undefined; signal?: AbortSignal | undefined },
): Promise<Exported> {
  const { test, runtime, signal } = options;
  const names = namesOf(path);
  const folder = dirname(path);
  for (const name of Object.values(names))
    if (existsSync(join(folder, name)))
      throw new UsageError(
        `${path}: expected a new file for --out, received one that exists (${name}); remove it or choose another name`,
      );
  const draft = join(folder, `.${names.model}.tmp`);
  try {
    await makeFolder(draft, folder);
    const encoded = encodeModel(onnxModel(spec), names.data);
    if (encoded.data !== undefined) await writeFileAtomic(join(draft, names.data), encoded.data);
    await writeFileAtomic(join(draft, names.model), encoded.model);
    const parity =
      runtime === undefined
        ? null
        : await checkedParity(spec, join(draft, names.model), { test, runtime, signal });
    if (parity !== null)
      await writeFileAtomic(join(draft, names.parity), `${JSON.stringify(parity, null, 2)}\n`);
    // The model last: who sees it sees the others.
    const files = [names.data, names.parity, names.model].filter((name) => existsSync(join(draft, name)));
    for (const name of files) await rename(join(draft, name), join(folder, name));
    return { files: files.map((name) => join(folder, name)), parity };
  } finally {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Names of the files, in one folder. */
function namesOf(path: string): { model: string; data: string; parity: string } {
  const model = basename(path);
  if (!/.\.onnx$/i.test(model))
    throw new UsageError(`${path}: expected a name ending in .onnx for --out, received another; rename it`);
  return { model, data: `${model}.data`, parity: parityPath(model) };
}

/** Path of the comparison that belongs to a file. */
export function parityPath(path: string): string {
  return path.replace(/\.onnx$/i, ".parity.json");
}

async function makeFolder(draft: string, folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    // What a kill has left.
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft);
  } catch (error) {
    const received = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new DataError(
      `${folder}: expected a folder to write to, received ${received}; choose another one`,
      {
        cause: error,
      },
    );
  }
}

async function checkedParity(
  spec: ExportSpec,
  path: string,
  options: { test: TestInput; runtime: OnnxRuntime; signal: AbortSignal | undefined },
): Promise<Parity> {
  const { test, runtime, signal } = options;
  const shape = [1, ...spec.input.shape];
  const logits = await nativeLogits(spec, [test.values, rounded(test.values)], signal);
  const [data = new Float32Array(), moved = data] = logits.data;
  const sample = {
    title: test.title,
    input: { name: spec.input.name, shape, data: test.values },
    logits: { name: spec.output.name, shape: logits.shape, data },
    bound: parityBound(logitDistance(moved, data).relativeError),
  };
  const parity = await measureParity(runtime, path, sample, { threads: engineInfo().threads, signal });
  if (parity.relativeError <= parity.bound) return parity;
  throw new SfrError(
    "internal",
    `parity: expected logits within ${parity.bound.toExponential(1)} of the native engine's for ${spec.title}, relative to the ` +
      `largest, received ${parity.relativeError.toExponential(1)} in ONNX Runtime ${runtime.version} on ` +
      `${test.title}; nothing was written`,
  );
}

/** Values that have moved by half of what an f32 can tell apart, up and down in turn. */
function rounded(values: Float32Array): Float32Array {
  return values.map((value, i) => value * (1 + (i % 2 === 0 ? 1 : -1) * 2 ** -24));
}

/** What the native engine makes of inputs [1, .., C]. */
async function nativeLogits(
  spec: ExportSpec,
  inputs: readonly Float32Array[],
  signal: AbortSignal | undefined,
): Promise<{ shape: readonly number[]; data: Float32Array[] }> {
  const shape = [1, ...spec.input.shape];
  const graph = new Graph();
  using program = graph.compile({ logits: spec.forward(graph, graph.input("x", "f32", shape)) });
  using x = Tensor.zeros("f32", shape);
  const data: Float32Array[] = [];
  for (const values of inputs) {
    x.f32.set(values);
    data.push(Float32Array.from((await program.run({ x }, signal)).logits.f32));
  }
  return { shape: program.outputs.logits.shape, data };
}
