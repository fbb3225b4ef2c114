import { availableParallelism, cpus, freemem, release, totalmem } from "node:os";
import { messageOf } from "../../run/error-text.js";
import type { JsonValue } from "../../run/stage-key.js";
import { version } from "../../version.js";
import { type Command, exitCodes } from "../command.js";

export const doctor: Command = {
  name: "doctor",
  summary: "Show what this machine offers and whether the addon loads",
  positionals: [],
  flags: [],
  settings: [],
  examples: [["sfr doctor", "Versions, CPU level, threads, memory"]],
  async run(_args, context) {
    const facts: Record<string, JsonValue> = {
      sfr: version,
      node: process.version,
      system: `${process.platform} ${process.arch}, kernel ${release()}`,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      "cpus allowed": availableParallelism(),
      "memory, GiB": gibibytes(totalmem()),
      "memory free, GiB": gibibytes(freemem()),
      // What a container allows, when it allows less.
      "memory limit, GiB": gibibytes(memoryLimit()),
    };
    let code: number = exitCodes.ok;
    try {
      const engine = await context.engine();
      facts.addon = "loads";
      facts.compiler = engine.compiler;
      facts["SIMD level"] =
        engine.simd === engine.bestSimd ? engine.simd : `${engine.simd} (best ${engine.bestSimd})`;
      facts.threads = engine.threads;
      facts.operations = Object.keys(engine.ops).length;
    } catch (error) {
      facts.addon = messageOf(error);
      code = exitCodes.device;
    }
    facts.devices = "cpu";
    const width = Math.max(...Object.keys(facts).map((name) => name.length));
    const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(width)}  ${value}`);
    context.result(lines.join("\n"), facts);
    return code;
  },
};

function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

function gibibytes(bytes: number): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10;
}
