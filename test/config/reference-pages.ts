import { commands } from "../../src/cli/commands/index.js";
import { commandReference } from "../../src/cli/reference.js";
import { configurationReference } from "../../src/config/reference.js";

/** The generated pages by their file. */
export const referencePages: Readonly<Record<string, () => string>> = {
  "docs/reference/configuration.md": configurationReference,
  "docs/reference/cli.md": () => commandReference(commands),
};

/** The repository, seen from dist/test/config. */
export const repository = new URL("../../../", import.meta.url);
