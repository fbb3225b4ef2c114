import { existsSync } from "node:fs";
import { availableParallelism, cpus, freemem, release, totalmem } from "node:os";
import { messageOf } from "../../error-text.js";
import type { JsonValue } from "../../io/stage-key.js";
import type { OnnxRuntimeInfo } from "../../native/native.js";
import { findOnnxRuntimeParts } from "../../onnxruntime/findings.js";
import { cgroupCpus, thisMachine } from "../../onnxruntime/machine.js";
import { findPackage } from "../../onnxruntime/package.js";
import { commit, version } from "../../version.js";
import { type Command, exitCodes } from "../command.js";

export const doctor: Command = {
  name: "doctor",
  summary:
    "Show what this machine offers, whether the addon loads, and what to install for ONNX Runtime and CUDA",
  positionals: [],
  flags: [],
  settings: [],
  examples: [
    ["sfr doctor", "Versions, commit, CPU level, threads, memory, devices"],
    ["sfr doctor --json", "The same as JSON, for a bug report"],
  ],
  async run(_args, context) {
    const facts: Record<string, JsonValue> = {
      sfr: version,
      commit: commit(),
      node: process.version,
      system: `${process.platform} ${process.arch}, kernel ${release()}`,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      "cpus allowed": availableParallelism(),
      "cgroup cpus": cgroupCpus(thisMachine) ?? null,
      "memory, GiB": gibibytes(totalmem()),
      "memory free, GiB": gibibytes(freemem()),
      // What a container allows, when it allows less.
      "memory limit, GiB": gibibytes(memoryLimit()),
    };
    let code: number = exitCodes.ok;
    let ask: ((library: string) => OnnxRuntimeInfo) | undefined;
    try {
      const engine = await context.engine();
      ask = (await import("../../onnxruntime/runtime.js")).onnxRuntimeInfo;
      facts.addon = "loads";
      facts.compiler = engine.compiler;
      facts["SIMD level"] =
        engine.simd === engine.bestSimd ? engine.simd : `${engine.simd} (best ${engine.bestSimd})`;
      facts["bf16 products"] =
        engine.bf16 === "native"
          ? "yes: precision bf16 is faster than f32"
          : "no: precision bf16 saves memory only";
      facts.threads = engine.threads;
      facts.operations = Object.keys(engine.ops).length;
      const { cudaLibrary } = await import("../../native/native.js");
      facts["CUDA kernels"] = existsSync(cudaLibrary()) ? cudaLibrary() : null;
    } catch (error) {
      facts.addon = messageOf(error);
      code = exitCodes.device;
    }
    const found = findOnnxRuntimeParts(thisMachine, findPackage(), ask);
    const devices = [
      "cpu",
      ...found.usable.map(({ index, name }) => `cuda:${index} ${name} (--engine onnx)`),
    ];
    Object.assign(facts, found.facts, { devices: devices.join(", ") });
    const advice = [...found.advice];
    if (facts["CUDA kernels"] === null && facts["NVIDIA driver"] !== null) advice.push(kernelsCure);
    const width = Math.max(...Object.keys(facts).map((name) => name.length));
    const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(width)}  ${value ?? "none"}`);
    context.result([...lines, ...advice].join("\n"), { ...facts, advice });
    return code;
  },
};

const kernelsCure =
  "For --device cuda with the native engine: build its kernels with nvcc, " +
  "`cmake --build build --target sfr_cuda`";

function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

function gibibytes(bytes: number): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10;
}
