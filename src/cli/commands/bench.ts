import type { Command } from "../command.js";

export const bench: Command = {
  name: "bench",
  summary: "Check a part of the engine against its peers, then time all of them",
  positionals: [
    {
      name: "name",
      help: "vnet-train, vnet-train-v3, vnet-infer, vnet-volume, unet3d-train, unet3d-infer, sam-train, sam-infer, stitch, bezier or metrics",
      count: "one",
    },
  ],
  flags: [
    { name: "json", kind: "text", help: "File to append one JSON line per case and implementation to" },
  ],
  settings: [],
  examples: [["sfr bench vnet-train --json results.jsonl", "Time a training step"]],
  async run(args, context) {
    const { signal } = context;
    await context.engine();
    const { runBench } = await import("../../../bench/bench.js");
    const json = args.optional("json");
    await runBench(args.text("name"), json === undefined ? { signal } : { json, signal });
    return undefined;
  },
};
