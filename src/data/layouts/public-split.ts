import { createHash } from "node:crypto";
import { join } from "node:path";
import { nearestName } from "../../config/nearest-name.js";
import { DataError } from "../../errors.js";
import { type Case, type CaseLists, pathKind } from "./layout.js";
import { readLines } from "./list-lines.js";

/** How many cases of a public data set the paper tests on. */
export interface TestShare {
  readonly test: number;
  readonly of: number;
}

/**
 * Divides the cases of a public data set. `splits/train.list` and `splits/test.list` say who takes which part, one id
 * per line; without them the cases are ordered by the SHA-256 of their ids, which depends on nothing else, and the last
 * ones are the test cases, in the proportion of the paper. Cases without a label come last in training.
 *
 * @throws DataError when a list names an unknown case
 */
export async function publicSplit(
  root: string,
  cases: readonly Case[],
  { test, of }: TestShare,
): Promise<Pick<CaseLists, "train" | "test">> {
  const [trainList, testList] = ["train", "test"].map((name) => join(root, "splits", `${name}.list`));
  if (trainList !== undefined && testList !== undefined && (await pathKind(trainList)) === "file") {
    return { train: await listed(trainList, cases), test: await listed(testList, cases) };
  }
  const digest = ({ id }: Case): string => createHash("sha256").update(id).digest("hex");
  const ordered = cases
    .filter(({ label }) => label !== undefined)
    .map((entry) => [digest(entry), entry] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, entry]) => entry);
  const held = Math.round((ordered.length * test) / of);
  const bare = cases.filter(({ label }) => label === undefined);
  return {
    train: [...ordered.slice(0, ordered.length - held), ...bare],
    test: ordered.slice(ordered.length - held),
  };
}

async function listed(path: string, cases: readonly Case[]): Promise<Case[]> {
  return (await readLines(path)).map(({ text, number }) => {
    const found = cases.find(({ id }) => id === text);
    if (found !== undefined) return found;
    const nearest = nearestName(
      text,
      cases.map(({ id }) => id),
    );
    throw new DataError(
      `${path}:${number}: expected the id of a case, received '${text}'; ` +
        (nearest === null ? "correct the list" : `did you mean '${nearest}'?`),
    );
  });
}
