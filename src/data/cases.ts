import { readdir } from "node:fs/promises";
import { nearestName } from "../config/nearest-name.js";
import { DataError, UsageError } from "../errors.js";
import { layouts } from "./layouts/index.js";
import { type Case, type CaseLists, type Layout, pathKind } from "./layouts/layout.js";

export type { Case } from "./layouts/layout.js";

/** A data set on the disk: which volumes it has, nothing read yet. */
export interface Dataset extends CaseLists {
  /** Name of the layout that was found. */
  readonly layout: string;
  /** As given. */
  readonly root: string;
}

/** Names for the setting "layout". */
const layoutNames: readonly string[] = ["auto", ...layouts.map((layout) => layout.name)];

/**
 * Lists the cases of a data set. With "auto" the layout is found by names alone, and never guessed: when
 * none or several fit, the error says what was looked for and what is there.
 *
 * @param root a folder, or the file of a list
 * @param frame which volume of the images to take, where they are 4D
 * @throws DataError when nothing or several layouts fit, or the files do not fit together; UsageError for
 *   an unknown layout name
 */
export async function openDataset(
  root: string,
  layout = "auto",
  frame: number | null = null,
): Promise<Dataset> {
  if ((await pathKind(root)) === null) {
    throw new DataError(`${root}: expected a data set, received nothing at this path; correct the path`);
  }
  const found = layout === "auto" ? await detectLayout(root) : namedLayout(layout);
  const lists = await found.list(root);
  checkCases(root, lists);
  if (frame === null) return { layout: found.name, root, ...lists };
  const withFrame = (cases: readonly Case[]): Case[] => cases.map((entry) => ({ ...entry, frame }));
  return { layout: found.name, root, ...lists, train: withFrame(lists.train), test: withFrame(lists.test) };
}

function namedLayout(name: string): Layout {
  const found = layouts.find((layout) => layout.name === name);
  if (found) return found;
  const nearest = nearestName(name, layoutNames);
  throw new UsageError(
    `layout: expected one of ${layoutNames.join(", ")}, received '${name}'; ` +
      (nearest === null ? "choose one" : `did you mean '${nearest}'?`),
  );
}

async function detectLayout(root: string): Promise<Layout> {
  const fits = await Promise.all(layouts.map((layout) => layout.detect(root)));
  const found = layouts.filter((_, i) => fits[i]);
  const [first, ...others] = found;
  if (first && others.length === 0) return first;
  if (first) {
    throw new DataError(
      `${root}: expected one layout, received signs of ${found.length} ` +
        `(${found.map((layout) => `${layout.name}: ${layout.lookedFor}`).join("; ")}); name the layout`,
    );
  }
  const sought = layouts.map((layout) => `${layout.name}: ${layout.lookedFor}`).join("; ");
  throw new DataError(
    `${root}: expected a data set (${sought}), received ${await contents(root)}; ` +
      "bring the files into one of these layouts",
  );
}

/** What lies at the root, shortened for a message. */
async function contents(root: string): Promise<string> {
  if ((await pathKind(root)) === "file") return "another file";
  const names = await readdir(root).catch(() => null);
  if (names === null) return "a folder that cannot be read";
  if (names.length === 0) return "an empty folder";
  const shown = names.sort().slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}

function checkCases(root: string, lists: CaseLists): void {
  const seen = new Set<string>();
  for (const { id } of [...lists.train, ...lists.test] satisfies Case[]) {
    if (seen.has(id)) {
      throw new DataError(`${root}: expected every case once, received '${id}' twice; rename or remove one`);
    }
    seen.add(id);
  }
  if (seen.size === 0) {
    throw new DataError(`${root}: expected at least one case, received none; add images to the data set`);
  }
}
