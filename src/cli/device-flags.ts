import { DeviceError, UsageError } from "../errors.js";
import type { EngineInfo } from "../native/native.js";
import type { DeviceRequest } from "../onnxruntime/engine.js";
import type { Arguments, Context, Flag } from "./command.js";
import { memorySize } from "./memory-limit.js";

/** Flags of commands that train. */
export const deviceFlags: readonly Flag[] = [
  {
    name: "device",
    kind: "text",
    help: "Where networks are trained: cpu, cuda, cuda:N (fails when it cannot be had), auto (falls back to the CPU)",
    default: "cpu",
  },
  {
    name: "device-memory",
    kind: "text",
    help: "Memory of the CUDA device that may be used (20GB); below what is needed, values are computed again",
    default: "nine tenths of what is free",
  },
];

/** The device that a word of `--device` names. Throws UsageError for another word. */
export function deviceNamed(text: string): DeviceRequest {
  if (text === "cpu" || text === "auto") return text;
  const cuda = /^cuda(?::(\d{1,3}))?$/.exec(text);
  if (cuda !== null) return { cuda: Number(cuda[1] ?? 0) };
  throw new UsageError(`--device: expected cpu, cuda, cuda:N or auto, received '${text}'; correct the value`);
}

/**
 * Loads the addon for the device of the flags; where one was asked for, says which is really used.
 *
 * @throws UsageError for another word; DeviceError when the device cannot be had
 */
export async function trainingEngine(args: Arguments, context: Context): Promise<EngineInfo> {
  const word = args.optional("device");
  const device = deviceNamed(word ?? "cpu");
  const budget = args.optional("device-memory");
  const memoryBytes = budget === undefined ? 0 : memorySize("--device-memory", budget);
  const engine = await context.engine();
  const used = device === "cpu" ? engine : await withDevice(device, memoryBytes, context);
  if (word !== undefined) context.progress.note(`device: ${used.device}`, "info");
  return used;
}

async function withDevice(
  device: Exclude<DeviceRequest, "cpu">,
  memoryBytes: number,
  context: Context,
): Promise<EngineInfo> {
  const { configureEngine, cudaLibrary, engineInfo } = await import("../native/native.js");
  const ordinal = device === "auto" ? 0 : device.cuda;
  try {
    configureEngine({ cuda: { library: cudaLibrary(), ordinal, memoryBytes } });
  } catch (error) {
    if (device !== "auto" || !(error instanceof DeviceError)) throw error;
    context.progress.note(`--device auto: the CPU is used; ${error.message}`);
  }
  return engineInfo();
}
