import { DeviceError } from "../errors.js";
import type { CudaSettings } from "../native/native.js";
import { withoutCode } from "./findings.js";
import { cards, type Machine, thisMachine } from "./machine.js";
import { type OnnxRuntime, onnxRuntime, onnxRuntimeInfo } from "./runtime.js";

/** The device that was asked for. */
export type DeviceRequest = "cpu" | "auto" | { readonly cuda: number };

/** The engine that was asked for. */
export interface EngineRequest {
  readonly engine: "native" | "onnx";
  readonly device: DeviceRequest;
  /** Path of libonnxruntime; absent: the one of onnxruntime-node. */
  readonly library?: string;
}

/** What runs networks, chosen once per command. */
export type InferenceEngine = { readonly kind: "native" } | OnnxEngine;

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

/**
 * Chooses engine and device.
 *
 * @throws DeviceError when ONNX Runtime or the CUDA device that was asked for cannot be had
 */
export function chooseEngine(request: EngineRequest, machine: Machine = thisMachine): EngineChoice {
  const { engine, device, library } = request;
  const isCuda = typeof device === "object";
  if (engine === "native") {
    if (!isCuda) return { engine: { kind: "native" }, used: "native engine, cpu" };
    throw new DeviceError(
      `engine: expected --device cpu or auto for the native engine, received cuda:${device.cuda}; use --engine onnx`,
    );
  }
  const runtime = onnxRuntime(library);
  const name = `ONNX Runtime ${runtime.version}`;
  const onCpu = { engine: { kind: "onnx", runtime }, used: `${name}, cpu` } as const;
  if (device === "cpu") return onCpu;
  const index = isCuda ? device.cuda : 0;
  const problem = cudaProblem(runtime, index, machine);
  if (problem === undefined)
    return { engine: { kind: "onnx", runtime, cuda: { device: index } }, used: `${name}, cuda:${index}` };
  if (!isCuda) return { ...onCpu, fallback: problem };
  throw new DeviceError(
    `engine: expected CUDA device ${index} for ${name}, received ${problem}; see \`sfr doctor\`, or use --device auto`,
  );
}

/** Why a CUDA device cannot be had; undefined when it can. */
function cudaProblem(runtime: OnnxRuntime, index: number, machine: Machine): string | undefined {
  if (runtime.through === "node") return `version ${runtime.version}, which is used on the CPU only`;
  const card = cards(machine).find((candidate) => candidate.index === index);
  if (card !== undefined && withoutCode(card))
    return `${card.name} of compute capability ${card.capability}, for which its provider has no code`;
  const told = onnxRuntimeInfo(runtime.library, index).cudaProblem;
  return told === undefined ? undefined : `"${told.split("\n")[0]}"`;
}
