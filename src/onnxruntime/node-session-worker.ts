/** The thread of a NodeSession: loads the addon, which silences ONNX Runtime, then onnxruntime-node and the network. */
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../error-text.js";
import { SfrError } from "../errors.js";
import type { Dtype, Port, TensorData } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { RunRequest, SharedTensor, WorkerAnswer, WorkerSettings } from "./node-session.js";

// What is used of onnxruntime-node, an optional dependency: its own types may not be there.
type OrtTensor = object;
interface OrtPort {
  readonly name: string;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}
interface OrtSession {
  readonly inputMetadata: readonly OrtPort[];
  readonly outputMetadata: readonly OrtPort[];
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor>): Promise<unknown>;
}
interface Ort {
  readonly env: { logLevel: string };
  readonly Tensor: new (type: string, data: TensorData, shape: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(path: string, options: Record<string, unknown>): Promise<OrtSession>;
  };
}

const typeNames: Readonly<Record<Dtype, string>> = {
  f32: "float32",
  bf16: "bfloat16",
  f64: "float64",
  i32: "int32",
  u8: "uint8",
  u16: "uint16",
};

const settings = workerData as WorkerSettings;
const answer = (message: WorkerAnswer) => parentPort?.postMessage(message);

try {
  const ort = createRequire(import.meta.url)("onnxruntime-node") as Ort;
  // Errors carry their text.
  ort.env.logLevel = "fatal";
  const session = await ort.InferenceSession.create(settings.model, {
    executionProviders: ["cpu"],
    intraOpNumThreads: settings.threads,
    logSeverityLevel: 4,
  });
  parentPort?.on("message", async (request: RunRequest | "end") => {
    if (request === "end") return parentPort?.close();
    const answered = await run(ort, session, request).then(
      (seconds) => ({ kind: "done", seconds }) as const,
      failure,
    );
    idle();
    return answer(answered);
  });
  idle();
  answer({ kind: "loaded", inputs: ports(session.inputMetadata), outputs: ports(session.outputMetadata) });
} catch (error) {
  idle();
  answer(failure(error));
}

function idle(): void {
  Atomics.store(settings.busy, 0, 0);
  Atomics.notify(settings.busy, 0);
}

/** @returns how long the library worked, seconds */
async function run(ort: Ort, session: OrtSession, { inputs, outputs }: RunRequest): Promise<number> {
  const opened: Tensor[] = [];
  const open = ([name, number]: SharedTensor) => {
    const tensor = Tensor.open(number);
    opened.push(tensor);
    return [name, new ort.Tensor(typeNames[tensor.dtype], tensor.data, tensor.shape)] as const;
  };
  try {
    const feeds = Object.fromEntries(inputs.map(open));
    const fetches = Object.fromEntries(outputs.map(open));
    const start = performance.now();
    // Outputs are computed in the memory that is given; what comes back are copies of it, which nobody needs.
    await session.run(feeds, fetches);
    return (performance.now() - start) / 1000;
  } finally {
    for (const tensor of opened) tensor.dispose();
  }
}

function ports(list: readonly OrtPort[]): Port[] {
  return list.map(({ name, type, shape }) => ({
    name,
    dtype: Object.entries(typeNames).find(([, known]) => known === type)?.[0] ?? type ?? "no tensor",
    shape: (shape ?? []).map((extent) => (typeof extent === "number" ? extent : -1)),
  }));
}

function failure(error: unknown): WorkerAnswer {
  if (error instanceof SfrError) return { kind: "failed", code: error.code, message: error.message };
  const text = messageOf(error);
  const isMemory = /bad_alloc|Failed to allocate|out of memory/.test(text);
  const [expected, cure] = isMemory
    ? ["the device to have what the network needs", "use a smaller patch"]
    : ["a network that ONNX Runtime can run", "export it again"];
  const message = `${settings.model}: expected ${expected}, received "${text}"; ${cure}`;
  return { kind: "failed", code: isMemory ? "device" : "data", message };
}
