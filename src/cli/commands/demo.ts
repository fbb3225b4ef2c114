import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { resolveConfig } from "../../config/load.js";
import { settings } from "../../config/settings.js";
import { type Command, outFlag } from "../command.js";
import { deviceFlags } from "../device-flags.js";
import { runStagesOf } from "../run-command.js";

const configPath = fileURLToPath(new URL("../../../../configs/demo.yaml", import.meta.url));

export const demo: Command = {
  name: "demo",
  summary: "Generate a phantom data set and run the whole chain on it",
  positionals: [],
  flags: [outFlag("Run folder; the phantoms go to data/ in it", "runs/demo"), ...deviceFlags],
  settings,
  examples: [
    ["sfr demo", "A first result in a few minutes"],
    ["sfr demo --sam-train lora --out runs/demo-lora", "The same with LoRA on a frozen random SAM"],
  ],
  async run(args, context) {
    const out = args.optional("out") ?? "runs/demo";
    const root = join(out, "data");
    const config = resolveConfig(configPath, { "data.root": root, ...args.overrides });
    if (args.overrides["data.root"] === undefined) {
      const { ensurePhantoms } = await import("../../run/phantom-stage.js");
      await ensurePhantoms(root, config.seed, context);
    }
    return runStagesOf(config, out, "report", context, args);
  },
};
