import { UsageError } from "../errors.js";
import type { DeviceRequest, InferenceEngine } from "../onnxruntime/engine.js";
import type { Arguments, Context, Flag } from "./command.js";
import { deviceMemory, deviceMemoryFlag, deviceNamed } from "./device-flags.js";

const engines = ["native", "onnx"] as const;

/** Flags of commands that run networks without training them. */
export const engineFlags: readonly Flag[] = [
  {
    name: "engine",
    kind: "text",
    help: "What runs the network: native, onnx (ONNX Runtime)",
    default: "native",
  },
  {
    name: "device",
    kind: "text",
    help: "Where: cpu, cuda, cuda:N (fails when it cannot be had), auto (falls back to the CPU)",
    default: "cpu; auto with --engine onnx",
  },
  deviceMemoryFlag,
  {
    name: "gpus",
    kind: "text",
    help: "CUDA devices as 0,1, with a process for each; instead of --device",
  },
  {
    name: "onnxruntime",
    kind: "text",
    help: "libonnxruntime to use with --engine onnx",
    default: "that of onnxruntime-node",
  },
];

/**
 * Engine and devices of the flags, one for each process: with --gpus as many as it names, else one. Says which are really
 * used. Loads the addon.
 *
 * @throws UsageError for another word; DeviceError when they cannot be had
 */
export async function enginesOf(args: Arguments, context: Context): Promise<InferenceEngine[]> {
  const engine = engineNamed(args.optional("engine") ?? "native");
  const usual = engine === "onnx" ? "auto" : "cpu";
  const devices = devicesOf(args.optional("device"), args.optional("gpus"), usual);
  const library = args.optional("onnxruntime");
  await context.engine();
  const { chooseEngine } = await import("../onnxruntime/engine.js");
  return devices.map((device) => {
    const memory = deviceMemory(args, device);
    const choice = chooseEngine({ engine, device, ...memory, ...(library === undefined ? {} : { library }) });
    if (choice.fallback !== undefined)
      context.progress.note(`--device auto: the CPU is used; ${choice.fallback}`);
    context.progress.note(`engine: ${choice.used}`, "info");
    return choice.engine;
  });
}

function devicesOf(device: string | undefined, gpus: string | undefined, usual: string): DeviceRequest[] {
  if (gpus === undefined) return [deviceNamed(device ?? usual)];
  if (device !== undefined)
    throw new UsageError(`--gpus: expected no --device beside it, received '${device}'; leave one out`);
  const numbers = gpus.split(",");
  if (!numbers.every((number) => /^\d{1,3}$/.test(number)) || new Set(numbers).size < numbers.length)
    throw new UsageError(
      `--gpus: expected different numbers of devices such as 0,1, received '${gpus}'; correct the value`,
    );
  return numbers.map((number) => ({ cuda: Number(number) }));
}

function engineNamed(text: string): (typeof engines)[number] {
  const engine = engines.find((name) => name === text);
  if (engine !== undefined) return engine;
  throw new UsageError(
    `--engine: expected one of ${engines.join(", ")}, received '${text}'; correct the value`,
  );
}
