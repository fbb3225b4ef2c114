import { UsageError } from "../errors.js";
import type { EngineInfo } from "../native/native.js";
import type { DeviceRequest } from "../onnxruntime/engine.js";
import type { Arguments, Context, Flag } from "./command.js";
import { memorySize } from "./memory-limit.js";

/** The flag of commands that can run on a CUDA device. */
export const deviceMemoryFlag: Flag = {
  name: "device-memory",
  kind: "text",
  help: "Memory of the CUDA device that a process may use (20GB); below what is needed, values are computed again",
  default: "nine tenths of what is free",
};

/** Flags of commands that train. */
export const deviceFlags: readonly Flag[] = [
  {
    name: "device",
    kind: "text",
    help: "Where networks are trained: cpu, cuda, cuda:N (fails when it cannot be had), auto (falls back to the CPU)",
    default: "cpu",
  },
  deviceMemoryFlag,
];

/** What --device-memory says, for chooseEngine(). Throws UsageError when it is no size or there is no device for it. */
export function deviceMemory(args: Arguments, device: DeviceRequest): { deviceBytes?: number } {
  const text = args.optional("device-memory");
  if (text === undefined) return {};
  if (device === "cpu")
    throw new UsageError(
      `--device-memory: expected --device cuda, cuda:N or auto with it, received the CPU; use --memory there`,
    );
  return { deviceBytes: memorySize("--device-memory", text) };
}

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
  const request = { engine: "native", device, ...deviceMemory(args, device) } as const;
  await context.engine();
  const { chooseEngine } = await import("../onnxruntime/engine.js");
  const { fallback } = chooseEngine(request);
  if (fallback !== undefined) context.progress.note(`--device auto: the CPU is used; ${fallback}`);
  const { engineInfo } = await import("../native/native.js");
  const used = engineInfo();
  if (word !== undefined) context.progress.note(`device: ${used.device}`, "info");
  return used;
}
