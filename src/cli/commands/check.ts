import { resolve } from "node:path";
import { openDataset } from "../../data/cases.js";
import { type Command, exitCodes, frameFlag } from "../command.js";

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
  ],
  settings: [],
  examples: [
    ["sfr check DATA", "One line per fault; exit code 3 when there is one"],
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
    const faults = remarks.filter(({ kind }) => kind === "fault").length;
    const summary = `${total} cases (${dataset.layout}): ${faults} faults, ${remarks.length - faults} notes`;
    const lines = remarks.map(({ kind, text }) => `${kind}: ${text}`);
    context.result([...lines, summary].join("\n"), {
      layout: dataset.layout,
      cases: total,
      remarks: remarks.map(({ kind, text }) => ({ kind, text })),
      images: Object.fromEntries(images),
    });
    return faults === 0 ? exitCodes.ok : exitCodes.data;
  },
};
