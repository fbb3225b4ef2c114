import { benchNames } from "../../../bench/cases.js";
import { nearestName } from "../../config/nearest-name.js";
import { UsageError } from "../../errors.js";
import type { Command } from "../command.js";

const nameList = benchNames.join(", ");

export const bench: Command = {
  name: "bench",
  summary: "Check a part of the engine against its peers, then time all of them",
  positionals: [{ name: "name", help: `One of ${nameList}`, count: "one" }],
  flags: [
    { name: "json", kind: "text", help: "File to append one JSON line per case and implementation to" },
  ],
  settings: [],
  examples: [["sfr bench vnet-train --json results.jsonl", "Time a training step"]],
  async run(args, context) {
    const { signal } = context;
    const name = args.text("name");
    if (!benchNames.some((known) => known === name)) {
      const nearest = nearestName(name, benchNames);
      throw new UsageError(
        `bench: expected one of ${nameList}, received '${name}'; ` +
          (nearest === null ? "choose one" : `did you mean '${nearest}'?`),
      );
    }
    await context.engine();
    const { runBench } = await import("../../../bench/bench.js");
    const json = args.optional("json");
    await runBench(name, json === undefined ? { signal } : { json, signal });
    return undefined;
  },
};
