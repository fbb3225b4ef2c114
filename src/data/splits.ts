import { nearestName } from "../config/nearest-name.js";
import { DataError } from "../errors.js";
import type { Case, Dataset } from "./cases.js";

/** A case whose label is known to exist as a file. */
export type LabelledCase = Case & { readonly label: string };

/** A case without the way to a label, so that none can be opened by mistake. */
export type UnlabelledCase = Omit<Case, "label">;

/** Which cases take which part: a number of cases in list order, all that are left, or ids. */
export interface SplitRequest {
  /** The first so many training cases that have labels, or these. */
  readonly labelled: number | readonly string[];
  /** The next training cases, whether they have labels or not, or these. */
  readonly unlabelled: number | "all" | readonly string[];
  /** From the test list; ids may also name training cases, which then take no other part. */
  readonly test: number | "all" | readonly string[];
}

/** Disjoint lists of cases. */
export interface Split {
  readonly labelled: readonly LabelledCase[];
  readonly unlabelled: readonly UnlabelledCase[];
  readonly test: readonly Case[];
}

/**
 * Chooses labelled, unlabelled and test cases. Cases named by id are taken first, then those counted.
 *
 * @throws DataError when there are too few cases, an id is unknown (the nearest one is named), named
 *   twice, or named as labelled without having a label
 */
export function splitCases(dataset: Dataset, request: SplitRequest): Split {
  const taken = new Map<string, string>();
  const { train, test } = dataset;
  const chosen = {
    labelled: byId(dataset.root, "labelled", request.labelled, train, taken),
    unlabelled: byId(dataset.root, "unlabelled", request.unlabelled, train, taken),
    test: byId(dataset.root, "test", request.test, [...test, ...train], taken),
  };
  const labelled =
    chosen.labelled ?? byCount(dataset.root, "labelled", request.labelled, train.filter(hasLabel), taken);
  const unlabelled =
    chosen.unlabelled ?? byCount(dataset.root, "unlabelled", request.unlabelled, train, taken);
  return {
    labelled: labelled.map((entry) => requireLabel(dataset.root, entry)),
    unlabelled: unlabelled.map(withoutLabel),
    test: chosen.test ?? byCount(dataset.root, "test", request.test, test, taken),
  };
}

function hasLabel(entry: Case): entry is LabelledCase {
  return entry.label !== undefined;
}

function requireLabel(root: string, entry: Case): LabelledCase {
  if (hasLabel(entry)) return entry;
  throw new DataError(
    `${root}: expected a label file for the labelled case '${entry.id}', received none; add it or name another case`,
  );
}

function withoutLabel({ label: _, ...entry }: Case): UnlabelledCase {
  return entry;
}

type Wanted = SplitRequest["unlabelled"];

function byId(
  root: string,
  part: string,
  wanted: Wanted,
  pool: readonly Case[],
  taken: Map<string, string>,
): Case[] | null {
  if (typeof wanted === "number" || wanted === "all") return null;
  return wanted.map((id) => {
    const found = pool.find((entry) => entry.id === id);
    if (!found) {
      const nearest = nearestName(
        id,
        pool.map((entry) => entry.id),
      );
      throw new DataError(
        `${root}: expected a known id for a ${part} case, received '${id}'; ` +
          (nearest === null ? "correct the list of ids" : `did you mean '${nearest}'?`),
      );
    }
    take(root, part, found, taken);
    return found;
  });
}

function byCount(
  root: string,
  part: string,
  wanted: Wanted,
  pool: readonly Case[],
  taken: Map<string, string>,
): Case[] {
  const free = pool.filter((entry) => !taken.has(entry.id));
  const count = wanted === "all" ? free.length : Number(wanted);
  if (!Number.isInteger(count) || count < 0 || count > free.length) {
    throw new DataError(
      `${root}: expected at most ${free.length} for the number of ${part} cases (so many are left), ` +
        `received ${wanted}; ask for fewer or add cases`,
    );
  }
  const chosen = free.slice(0, count);
  for (const entry of chosen) take(root, part, entry, taken);
  return chosen;
}

function take(root: string, part: string, entry: Case, taken: Map<string, string>): void {
  const before = taken.get(entry.id);
  if (before !== undefined) {
    throw new DataError(
      `${root}: expected every case in one part only, received '${entry.id}' as ${before} and as ${part}; ` +
        "remove it from one of the lists",
    );
  }
  taken.set(entry.id, part);
}
