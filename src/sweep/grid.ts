import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { nearestName } from "../config/nearest-name.js";
import { configSchema } from "../config/schema.js";
import { settings } from "../config/settings.js";
import { messageOf } from "../error-text.js";
import { UsageError } from "../errors.js";
import { paperDatasets } from "./paper.js";

const { method, pseudoLabels } = configSchema.shape.arms.element.shape;
const kind = pseudoLabels.unwrap();
/** Values by dotted path of a setting. */
const settingValues = z.record(z.string(), z.unknown());

const gridSchema = z.strictObject({
  name: z.string().min(1),
  config: z.string().min(1),
  settings: settingValues.default({}),
  over: z.record(z.string(), z.array(z.unknown()).min(1)).default({}),
  methods: z
    .array(
      z.strictObject({
        method,
        pseudoLabels: z.union([kind, z.array(kind).min(1)]).default("none"),
        name: z.string().min(1).optional(),
        settings: settingValues.default({}),
      }),
    )
    .min(1),
  imports: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        predictions: z.string().min(1),
        references: z.string().min(1),
        at: settingValues.default({}),
        paper: z.string().optional(),
        parameters: z.number().positive().optional(),
      }),
    )
    .default([]),
  paper: z.string().optional(),
});

/** What a sweep runs: every method at every combination of the values in `over`, docs/how-to/sweep.md explains it. */
export type Grid = z.infer<typeof gridSchema>;
/** A method of a grid. */
export type GridMethod = Grid["methods"][number];
/** A folder of predictions that another program made. */
export type GridImport = Grid["imports"][number];

/**
 * Reads a grid (YAML). Paths in it start at its folder.
 *
 * @throws UsageError when the file cannot be read, has unknown keys or wrong values, or names settings or a data set of
 *   the paper that do not exist
 */
export function readGrid(path: string): Grid {
  const result = gridSchema.safeParse(readYaml(path));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UsageError(
      `${path}: expected a grid for a sweep, received something else at ` +
        `'${issue?.path.join(".") ?? ""}': ${issue?.message ?? ""}; correct the file`,
    );
  }
  const grid = result.data;
  const groups = [grid.settings, grid.over, ...[...grid.methods, ...grid.imports].map(settingsOf)];
  for (const name of groups.flatMap((group) => Object.keys(group))) checkSetting(path, name);
  if (grid.paper !== undefined && !paperDatasets().includes(grid.paper))
    throw new UsageError(
      `${path}: expected one of ${paperDatasets().join("; ")} for paper, received '${grid.paper}'; correct the name`,
    );
  const from = (relative: string) => resolve(dirname(path), relative);
  return {
    ...grid,
    config: from(grid.config),
    imports: grid.imports.map((item) => ({
      ...item,
      predictions: from(item.predictions),
      references: from(item.references),
    })),
  };
}

function settingsOf(item: GridMethod | GridImport): Record<string, unknown> {
  return "settings" in item ? item.settings : item.at;
}

function checkSetting(path: string, name: string): void {
  const known = settings.map((setting) => setting.path);
  if (known.includes(name)) return;
  const nearest = nearestName(name, known);
  throw new UsageError(
    `${path}: expected the dotted path of a setting, received '${name}'; ` +
      (nearest === null ? "docs/reference/configuration.md lists them" : `did you mean '${nearest}'?`),
  );
}

function readYaml(path: string): unknown {
  try {
    const document = parseDocument(readFileSync(path, "utf8"));
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    return document.toJS();
  } catch (error) {
    throw new UsageError(
      `${path}: expected a readable grid (YAML), received ${messageOf(error)}; correct the file or its path`,
      { cause: error },
    );
  }
}
