#!/usr/bin/env node
// ONNX Runtime reports to its maker unless this stands in the environment, which child processes inherit.
process.env.ORT_DISABLE_TELEMETRY = "1";

import { commands } from "./commands/index.js";
import { main } from "./main.js";

await main(commands, process.argv.slice(2));
