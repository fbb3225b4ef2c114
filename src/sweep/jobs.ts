import { resolveConfig } from "../config/load.js";
import type { ArmSettings, Config } from "../config/schema.js";
import { messageOf } from "../error-text.js";
import { UsageError } from "../errors.js";
import { type Arm, planArms } from "../run/plan.js";
import type { Grid, GridMethod } from "./grid.js";
import type { PseudoLabelKind } from "./paper.js";

/** One run of a sweep: one method with one kind of pseudo-labels at one combination of values. */
export interface Job {
  /** Its folder below `jobs`; the same for the same place in the grid, whatever else the grid holds. */
  readonly folder: string;
  readonly config: Config;
  /** The arm that it is about; SFR+ has the arm that it begins from beside it. */
  readonly arm: Arm;
  readonly kind: PseudoLabelKind;
  /** The name of its line in the grid, or the method: what its other kinds of pseudo-labels have in common. */
  readonly line: string;
  /** Values of the grid's `over`, the seed left out. */
  readonly point: Readonly<Record<string, unknown>>;
}

/**
 * The jobs of a grid: the first path of `over` changes slowest, methods change fastest.
 *
 * @param path of the grid, for messages
 * @param overrides settings of the command line, over those of the grid
 * @throws UsageError when a job's configuration is wrong, two jobs are the same, or a flag names a path of `over`
 */
export function planJobs(grid: Grid, path: string, overrides: Readonly<Record<string, unknown>>): Job[] {
  const twice = Object.keys(overrides).find((name) => name in grid.over);
  if (twice !== undefined)
    throw new UsageError(`${path}: expected ${twice} in 'over' or as a flag, received both; leave one out`);
  const jobs = combinations(grid.over).flatMap((values) =>
    grid.methods.flatMap((row) =>
      [row.pseudoLabels].flat().map((kind) => planJob(grid, path, { row, kind, values, overrides })),
    ),
  );
  const folders = new Set<string>();
  for (const { folder } of jobs) {
    if (folders.has(folder))
      throw new UsageError(
        `${path}: expected different jobs, received two of '${folder}'; give one of the methods a name`,
      );
    folders.add(folder);
  }
  return jobs;
}

/** Every choice of one value per path; the first path changes slowest. */
function combinations(over: Grid["over"]): Record<string, unknown>[] {
  return Object.entries(over).reduce<Record<string, unknown>[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

interface Place {
  readonly row: GridMethod;
  readonly kind: PseudoLabelKind;
  readonly values: Readonly<Record<string, unknown>>;
  readonly overrides: Readonly<Record<string, unknown>>;
}

function planJob(grid: Grid, path: string, { row, kind, values, overrides }: Place): Job {
  const { seed: _, ...point } = values;
  try {
    const base = resolveConfig(grid.config, { ...grid.settings, ...row.settings, ...values, ...overrides });
    const arms = armsOf(row, kind);
    const config = { ...base, name: grid.name, arms };
    const arm = planArms(config)[arms.length - 1];
    if (arm === undefined) throw new UsageError("expected an arm, received none");
    const parts = [arm.folder, ...Object.entries(values).map(([name, value]) => `${name}-${asWord(value)}`)];
    return { folder: parts.join("_"), config, arm, kind, line: row.name ?? row.method, point };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const where = [
      row.method,
      kind,
      ...Object.entries(values).map(([name, value]) => `${name} ${asWord(value)}`),
    ];
    throw new UsageError(`${path}, job ${where.join(", ")}: ${messageOf(error)}`, { cause: error });
  }
}

/** The arm of a job, behind the one that it begins from: unnamed, so that it is that of the job beside it. */
function armsOf({ method, name }: GridMethod, kind: PseudoLabelKind): ArmSettings[] {
  const prefix = { none: "", sam: method === "sam" ? "" : "SFR ", exchange: "SFR+ " }[kind];
  const arm = {
    method,
    pseudoLabels: kind,
    rounds: 0,
    ...(name === undefined ? {} : { name: prefix + name }),
  };
  return kind === "exchange" ? [{ method, pseudoLabels: "sam", rounds: 0 }, arm] : [arm];
}

/** A value as part of a file name and as a word of a table. */
export function asWord(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.replace(/[^A-Za-z0-9.+-]+/g, "-").replace(/^-|-$/g, "");
}
