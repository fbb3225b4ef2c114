import { UsageError } from "../errors.js";

/** What other programs, and this one beside what it knows of, may need while a training runs, bytes. */
const reserve = 2e9;
/** A limit below this is of no use, bytes. */
const least = 0.5e9;
const units: Readonly<Record<string, number>> = { MB: 1e6, GB: 1e9, MiB: 2 ** 20, GiB: 2 ** 30 };

/**
 * Bytes that the process may use: what `--memory` says (`8GB`, `512MiB`), else the memory that is available - a cgroup's
 * limit counts - less 2 GB.
 *
 * @throws UsageError when the text is no size
 */
export function memoryLimit(text: string | undefined): number {
  if (text === undefined)
    return Math.max(least, process.memoryUsage.rss() + process.availableMemory() - reserve);
  return memorySize("--memory", text);
}

/** Bytes of a flag's text such as `8GB` or `512MiB`. Throws UsageError when it is no size, or a useless one. */
export function memorySize(flag: string, text: string): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text) ?? [];
  const bytes = Number(amount) * (units[unit] ?? Number.NaN);
  if (!(bytes >= least))
    throw new UsageError(
      `${flag}: expected a size of at least 500MB such as 8GB or 6GiB, received '${text}'`,
    );
  return Math.floor(bytes);
}
