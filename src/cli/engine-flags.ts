import { UsageError } from "../errors.js";
import type { DeviceRequest, InferenceEngine } from "../onnxruntime/engine.js";
import type { Arguments, Context, Flag } from "./command.js";

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
    default: "auto",
  },
  {
    name: "onnxruntime",
    kind: "text",
    help: "libonnxruntime to use with --engine onnx",
    default: "that of onnxruntime-node",
  },
];

/**
 * Engine and device of the flags; says which are really used. Loads the addon.
 *
 * @throws UsageError for another word; DeviceError when they cannot be had
 */
export async function engineOf(args: Arguments, context: Context): Promise<InferenceEngine> {
  const engine = engineNamed(args.optional("engine") ?? "native");
  const device = deviceNamed(args.optional("device") ?? "auto");
  const library = args.optional("onnxruntime");
  await context.engine();
  const { chooseEngine } = await import("../onnxruntime/engine.js");
  const choice = chooseEngine({ engine, device, ...(library === undefined ? {} : { library }) });
  if (choice.fallback !== undefined)
    context.progress.note(`--device auto: the CPU is used; CUDA: received ${choice.fallback}`);
  context.progress.note(`engine: ${choice.used}`, "info");
  return choice.engine;
}

function engineNamed(text: string): (typeof engines)[number] {
  const engine = engines.find((name) => name === text);
  if (engine !== undefined) return engine;
  throw new UsageError(
    `--engine: expected one of ${engines.join(", ")}, received '${text}'; correct the value`,
  );
}

function deviceNamed(text: string): DeviceRequest {
  if (text === "cpu" || text === "auto") return text;
  const cuda = /^cuda(?::(\d{1,3}))?$/.exec(text);
  if (cuda !== null) return { cuda: Number(cuda[1] ?? 0) };
  throw new UsageError(`--device: expected cpu, cuda, cuda:N or auto, received '${text}'; correct the value`);
}
