import { DeviceError } from "../errors.js";
import {
  type CudaDevice,
  type CudaSettings,
  configureEngine,
  cudaLibrary,
  engineInfo,
} from "../native/native.js";
import { withoutCode } from "./findings.js";
import { cards, cudaProvider, type Machine, thisMachine } from "./machine.js";
import { type OnnxRuntime, onnxRuntime, onnxRuntimeInfo } from "./runtime.js";

/** The device that was asked for. */
export type DeviceRequest = "cpu" | "auto" | { readonly cuda: number };

/** The engine that was asked for. */
export interface EngineRequest {
  readonly engine: "native" | "onnx";
  readonly device: DeviceRequest;
  /** Most memory of a CUDA device to use, bytes; absent: the engine's own limit. */
  readonly deviceBytes?: number;
  /** Path of libonnxruntime; absent: the one of onnxruntime-node. */
  readonly library?: string;
}

/** What runs networks, chosen once per command. */
export type InferenceEngine = NativeEngine | OnnxEngine;

/** Our own, on the CPU when no CUDA device is named. */
export interface NativeEngine {
  readonly kind: "native";
  readonly cuda?: CudaDevice;
}

/** ONNX Runtime, on the CPU when no CUDA device is named. */
export interface OnnxEngine {
  readonly kind: "onnx";
  readonly runtime: OnnxRuntime;
  readonly cuda?: CudaSettings;
}

/** How the choice ended. */
export interface EngineChoice {
  readonly engine: InferenceEngine;
  /** Engine and device that are really used, for people. */
  readonly used: string;
  /** Why `auto` took the CPU although it looked for a CUDA device. */
  readonly fallback?: string;
}

/** What configureEngine() is told for the programs of an engine: its device, or null where that is not ours. */
export function nativeDevice(engine: InferenceEngine): CudaDevice | null {
  return engine.kind === "native" ? (engine.cuda ?? null) : null;
}

/**
 * Chooses engine and device. The native engine is set to its device.
 *
 * @throws DeviceError when ONNX Runtime or the CUDA device that was asked for cannot be had
 */
export function chooseEngine(request: EngineRequest, machine: Machine = thisMachine): EngineChoice {
  const { engine, device, deviceBytes, library } = request;
  if (engine === "native") return chooseNative(device, deviceBytes);
  const isCuda = typeof device === "object";
  const runtime = onnxRuntime(library);
  const name = `ONNX Runtime ${runtime.version}`;
  const onCpu = { engine: { kind: "onnx", runtime }, used: `${name}, cpu` } as const;
  if (device === "cpu") return onCpu;
  const index = isCuda ? device.cuda : 0;
  const problem = cudaProblem(runtime, index, machine);
  if (problem === undefined) {
    const cuda = { device: index, ...(deviceBytes === undefined ? {} : { memoryBytes: deviceBytes }) };
    return { engine: { kind: "onnx", runtime, cuda }, used: `${name}, cuda:${index}` };
  }
  if (!isCuda) return { ...onCpu, fallback: problem };
  throw new DeviceError(
    `engine: expected CUDA device ${index} for ${name}, received ${problem}; see \`sfr doctor\`, or use --device auto`,
  );
}

function chooseNative(device: DeviceRequest, deviceBytes = 0): EngineChoice {
  const onCpu = { engine: { kind: "native" }, used: "native engine, cpu" } as const;
  if (device === "cpu") return onCpu;
  const ordinal = device === "auto" ? 0 : device.cuda;
  const cuda: CudaDevice = { library: cudaLibrary(), ordinal, memoryBytes: deviceBytes };
  try {
    configureEngine({ cuda });
  } catch (error) {
    if (device !== "auto" || !(error instanceof DeviceError)) throw error;
    return { ...onCpu, fallback: error.message };
  }
  return { engine: { kind: "native", cuda }, used: `native engine, ${engineInfo().device}` };
}

/** Why ONNX Runtime cannot have a CUDA device; undefined when it can. */
function cudaProblem(runtime: OnnxRuntime, index: number, machine: Machine): string | undefined {
  if (runtime.through === "node") return `version ${runtime.version}, which is used on the CPU only`;
  const card = cards(machine).find((candidate) => candidate.index === index);
  if (card !== undefined && withoutCode(card))
    return `${card.name} of compute capability ${card.capability}, for which its provider has no code`;
  const told = onnxRuntimeInfo(runtime.library, index).cudaProblem;
  if (told === undefined) return undefined;
  if (cudaProvider(runtime.library) === undefined) return `no CUDA provider beside ${runtime.library}`;
  // The library puts the place in its sources in front.
  return `"${told.split("\n")[0]?.replace(/^.*\[ONNXRuntimeError\] : \d+ : \w+ : /, "")}"`;
}
