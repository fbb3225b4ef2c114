import { readFileSync } from "node:fs";
import { layersPicture, withTables } from "../../bench/performance-page.js";
import { commands } from "../../src/cli/commands/index.js";
import { commandReference } from "../../src/cli/reference.js";
import { configurationReference } from "../../src/config/reference.js";
import { paperPresets } from "./paper-presets.js";

/** The repository, seen from dist/test/config. */
export const repository = new URL("../../../", import.meta.url);

const results = new URL("bench/results/", repository);

/** The generated pages, pictures and configurations by their file. */
export const referencePages: Readonly<Record<string, () => string>> = {
  "docs/reference/configuration.md": configurationReference,
  "docs/reference/cli.md": () => commandReference(commands),
  "docs/performance.md": () =>
    withTables(readFileSync(new URL("docs/performance.md", repository), "utf8"), results),
  "docs/pictures/vnet-roofline.svg": () => layersPicture(results),
  ...paperPresets(),
};
