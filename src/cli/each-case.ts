import { isCaseError, messageOf } from "../error-text.js";
import { CancelledError, UsageError } from "../errors.js";
import type { JsonValue } from "../io/stage-key.js";
import { type Context, exitCodes } from "./command.js";

/** A case of a command that writes one file for each. */
export interface NamedCase {
  /** Names the file. */
  readonly name: string;
  readonly path: string;
}

/** What has become of a case, as a line and as a value. */
export interface CaseOutcome {
  readonly text: string;
  readonly value: JsonValue;
}

/**
 * Works on cases one after another and prints what has become of each; a case that fails is told, the rest goes on.
 *
 * @returns the exit code: 0, 4 when some failed, 3 when all did
 * @throws UsageError when two cases have one name; CancelledError
 */
export async function eachCase(
  cases: readonly NamedCase[],
  { signal, progress, result }: Context,
  work: (entry: NamedCase) => Promise<CaseOutcome>,
): Promise<number> {
  const paths = new Map<string, string>();
  for (const { name, path } of cases) {
    const before = paths.get(name);
    if (before !== undefined) {
      throw new UsageError(
        `${name}: expected one input of this name, received ${before} and ${path}; rename one, results are named like it`,
      );
    }
    paths.set(name, path);
  }
  const outcomes: CaseOutcome[] = [];
  for (const entry of cases) {
    if (signal.aborted) throw new CancelledError(`${entry.path}: stopped before this case`);
    try {
      outcomes.push(await work(entry));
    } catch (error) {
      if (!isCaseError(error)) throw error;
      progress.problem(messageOf(error), error);
    }
  }
  if (outcomes.length === 0) return exitCodes.data;
  result(
    outcomes.map(({ text }) => text).join("\n"),
    outcomes.map(({ value }) => value),
  );
  return outcomes.length === cases.length ? exitCodes.ok : exitCodes.someCasesFailed;
}
