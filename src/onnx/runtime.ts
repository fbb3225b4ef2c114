import { createRequire } from "node:module";

/** The parts of onnxruntime-node that are used here; the package is optional, so its own types may be missing. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(path: string, options: Readonly<Record<string, unknown>>): Promise<OnnxSession>;
  };
  readonly Tensor: new (dtype: "float32", data: Float32Array, shape: readonly number[]) => OnnxTensor;
}

interface OnnxSession {
  run(inputs: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>;
  release(): Promise<void>;
}

interface OnnxTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** onnxruntime-node and its version, or why it cannot be used. */
export type LoadedRuntime =
  | { readonly kind: "loaded"; readonly runtime: OnnxRuntime; readonly version: string }
  | { readonly kind: "missing"; readonly reason: string };

/**
 * Loads onnxruntime-node, the only place that does. From 1.29 on it would report to its maker; the environment variable
 * that forbids it is read when the first session is made. (Set on the main thread: a worker's environment is its own and
 * does not reach the library.)
 */
export function loadOnnxRuntime(): LoadedRuntime {
  process.env.ORT_DISABLE_TELEMETRY = "1";
  const require = createRequire(import.meta.url);
  try {
    const { version } = require("onnxruntime-node/package.json") as { version: string };
    return { kind: "loaded", runtime: require("onnxruntime-node") as OnnxRuntime, version };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const reason =
      code === "MODULE_NOT_FOUND"
        ? "onnxruntime-node is not installed"
        : `onnxruntime-node does not load: ${error instanceof Error ? error.message : String(error)}`;
    return { kind: "missing", reason };
  }
}
