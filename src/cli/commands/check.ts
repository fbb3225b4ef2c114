import { resolve } from "node:path";
import { type Dataset, openDataset } from "../../data/cases.js";
import type { Remark } from "../../data/check/check.js";
import { imageFiles } from "../../data/layouts/layout.js";
import { CancelledError, DataError } from "../../errors.js";
import { type Command, type Context, exitCodes, frameFlag } from "../command.js";

export const check: Command = {
  name: "check",
  summary: "Read every volume of a data set and list what is wrong: grids, labels, values, duplicates",
  positionals: [{ name: "data", help: "Folder or list of the data set", count: "one" }],
  flags: [
    { name: "layout", kind: "text", help: "Layout of the data set", default: "auto" },
    frameFlag,
    {
      name: "cache",
      kind: "text",
      help: "File that keeps what was found, so that files that have not changed are not read again",
      default: "one in TMPDIR",
    },
    {
      name: "repair",
      kind: "boolean",
      help: "Mend what is harmless: labels that are off by rounding or stored as float are written anew, the original stays beside each as <name>.original",
    },
    {
      name: "roundtrip",
      kind: "boolean",
      help: "Also write every volume to a temporary folder as results are written, and prove that grid, header and values come back bit for bit",
    },
  ],
  settings: [],
  examples: [
    ["sfr check DATA", "One line per fault; exit code 3 when there is one"],
    [
      "sfr check DATA --repair --roundtrip",
      "Mend harmless faults, then prove that nothing is lost on these files",
    ],
    ["sfr check DATA --json", "Faults, notes and facts of every image"],
  ],
  async run(args, context) {
    const { checkDataset } = await import("../../data/check/check.js");
    const { defaultCachePath, readCache, writeCache } = await import("../../data/check/cache-file.js");
    const root = args.text("data");
    const dataset = await openDataset(root, args.optional("layout"), args.integer("frame", 0));
    const cachePath = args.optional("cache") ?? defaultCachePath(resolve(root));
    const cache = await readCache(cachePath);
    const total = dataset.train.length + dataset.test.length;
    const start = performance.now();
    context.progress.begin("check", total, 0, "cases");
    const { remarks, images } = await checkDataset(
      dataset,
      cache,
      (done) => context.progress.update(done),
      context.signal,
    );
    context.progress.end((performance.now() - start) / 1000);
    await writeCache(cachePath, cache);
    const repaired = args.is("repair") ? await repairAll(remarks, context) : new Map<string, string>();
    const left = remarks.filter(({ repair }) => repair === undefined || !repaired.has(repair.label));
    const told = new Set(remarks.map(({ text }) => text));
    const trip = args.is("roundtrip") ? await roundTrips(dataset, told, context) : undefined;
    const count = (kind: Remark["kind"]): number => left.filter((remark) => remark.kind === kind).length;
    const faults = count("fault") + (trip?.differences.length ?? 0);
    const lines = [
      ...[...repaired].map(([label, original]) => `repaired: ${label}: the original is ${original}`),
      ...left.map(({ kind, text }) => `${kind}: ${text}`),
      ...(trip?.differences.map((text) => `fault: ${text}`) ?? []),
      ...(trip === undefined ? [] : [`${trip.files} files came back bit for bit`]),
      `${total} cases (${dataset.layout}): ${faults} faults, ${count("harmless")} harmless, ${count("note")} notes`,
    ];
    context.result(lines.join("\n"), {
      layout: dataset.layout,
      cases: total,
      remarks: left.map(({ kind, text }) => ({ kind, text })),
      repaired: Object.fromEntries(repaired),
      ...(trip === undefined ? {} : { roundtrip: trip }),
      images: Object.fromEntries(images),
    });
    return faults === 0 ? exitCodes.ok : exitCodes.data;
  },
};

/** @returns the kept originals by label */
async function repairAll(remarks: readonly Remark[], { signal }: Context): Promise<Map<string, string>> {
  const { repairLabel } = await import("../../data/check/repair.js");
  const done = new Map<string, string>();
  for (const { repair } of remarks) {
    if (signal.aborted) throw new CancelledError("check: stopped on request; what was repaired stays so");
    if (repair !== undefined && !done.has(repair.label)) done.set(repair.label, await repairLabel(repair));
  }
  return done;
}

/** @returns how many files came back as they were, and what was found of the others beyond what was told already */
async function roundTrips(
  { train, test }: Dataset,
  told: ReadonlySet<string>,
  { progress, signal }: Context,
): Promise<{ files: number; differences: string[] }> {
  const { roundTrip } = await import("../../data/check/round-trip.js");
  const cases = [...train, ...test];
  const differences: string[] = [];
  let files = 0;
  const start = performance.now();
  progress.begin("round trip", cases.length, 0, "cases");
  for (const [index, entry] of cases.entries()) {
    const { label, frame = null } = entry;
    for (const [path, content] of [
      ...imageFiles(entry).map((path) => [path, "image"] as const),
      ...(label === undefined ? [] : [[label, "label"] as const]),
    ]) {
      if (signal.aborted) throw new CancelledError("check: stopped on request");
      const found = await roundTrip(path, content, content === "image" ? frame : null).catch(messageOfData);
      differences.push(...found.filter((text) => !told.has(text)));
      if (found.length === 0) files++;
    }
    progress.update(index + 1);
  }
  progress.end((performance.now() - start) / 1000);
  return { files, differences };
}

function messageOfData(error: unknown): string[] {
  if (error instanceof DataError) return [error.message];
  throw error;
}
