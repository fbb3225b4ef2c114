#!/usr/bin/env node
import { commands } from "./commands/index.js";
import { main } from "./main.js";

await main(commands, process.argv.slice(2));
