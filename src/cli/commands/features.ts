import { basename, resolve } from "node:path";
import { type Command, exitCodes } from "../command.js";

/** Crops of labelled cases, and as many of unlabelled ones. */
const usualCrops = 64;

export const features: Command = {
  name: "features",
  summary: "Draw how features of labelled and unlabelled cases are spread under trained segmenters",
  positionals: [{ name: "models", help: "Arms of finished runs: runs/<name>/arms/<arm>", count: "many" }],
  flags: [
    {
      name: "out",
      kind: "text",
      help: "Page to write; the densities go into a .csv beside it",
      default: "features.html",
    },
    {
      name: "crops",
      kind: "integer",
      help: "Crops of labelled cases, and as many of unlabelled ones",
      default: String(usualCrops),
    },
  ],
  settings: [],
  examples: [
    [
      "sfr features RUN/arms/mean-teacher RUN/arms/sfr --out features.html",
      "Whether SFR brings both sets together",
    ],
  ],
  async run(args, context) {
    const out = args.optional("out") ?? "features.html";
    await context.engine();
    const { featureDensity } = await import("../../run/features.js");
    const { featuresPage } = await import("../../viewer/features.js");
    const { writeFileAtomic } = await import("../../io/atomic-file.js");
    const { csvText } = await import("../../io/csv.js");
    const { progress, signal } = context;
    const options = { crops: args.integer("crops", 1) ?? usualCrops, seed: 1, progress, signal };
    const models = [];
    for (const path of args.many("models"))
      models.push({ name: basename(resolve(path)), density: await featureDensity(path, options) });
    const table = models.flatMap(({ name, density }) =>
      (density?.x ?? []).map((x, i) => [name, x, density?.first[i] ?? null, density?.second[i] ?? null]),
    );
    const csvPath = `${out.replace(/\.html$/, "")}.csv`;
    await writeFileAtomic(out, featuresPage(models));
    await writeFileAtomic(csvPath, csvText([["model", "x", "labelled", "unlabelled"], ...table]));
    const lines = models.map(
      ({ name, density }) =>
        `${name}: ${density === undefined ? "no foreground" : `overlap ${density.overlap.toFixed(3)}`}`,
    );
    const overlaps = Object.fromEntries(models.map(({ name, density }) => [name, density?.overlap ?? null]));
    context.result([...lines, out, csvPath].join("\n"), { written: [out, csvPath], overlaps });
    return models.every(({ density }) => density !== undefined) ? exitCodes.ok : exitCodes.someCasesFailed;
  },
};
