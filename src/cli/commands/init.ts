import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { nearestName } from "../../config/nearest-name.js";
import { type Dataset, openDataset } from "../../data/cases.js";
import { type Preset, presets } from "../../data/presets.js";
import { type Vec3, voxelCount } from "../../data/volume.js";
import { UsageError } from "../../errors.js";
import { type Command, frameFlag } from "../command.js";

/** Extents of a crop that the networks take: multiples of 16. */
const PATCH_STEP = 16;
/** Crop of the paper's left-atrium runs, voxels (x, y, z): what fits is taken of it. */
const PATCH: Vec3 = [112, 112, 80];
/** Sides of canvases, pixels: the first that holds all slices of a crop is taken. */
const CANVASES = [512, 1024];

const comment = `# To begin with: a tiny SAM from random weights, short trainings. The paper has size vit_b with a checkpoint,
# canvas 1024, 6000 steps each and pseudoLabels per-crop, which are the defaults but for the checkpoint.
# docs/reference/configuration.md lists all settings.
`;

export const init: Command = {
  name: "init",
  summary: "Show what a data set holds and write a configuration to start from",
  positionals: [{ name: "data", help: "Folder or list of the data set", count: "one" }],
  flags: [
    {
      name: "preset",
      kind: "text",
      help: `How the paper uses a public data set: ${presets.map(({ name }) => name).join(", ")}; none: settings to begin with`,
      default: "by the layout",
    },
    { name: "layout", kind: "text", help: "Layout of the data set", default: "auto" },
    frameFlag,
    { name: "out", kind: "text", help: "Configuration to write", default: "<name of the folder>.yaml" },
  ],
  settings: [],
  examples: [
    ["sfr init DATA --out my.yaml", "Then: sfr check DATA; sfr run my.yaml"],
    [
      "sfr init MICCAI_BraTS_2019_Data_Training --preset brats",
      "A public data set, prepared and divided as in the paper",
    ],
  ],
  async run(args, context) {
    const { stringify } = await import("yaml");
    const { writeFileAtomic } = await import("../../io/atomic-file.js");
    const root = args.text("data");
    const frame = args.integer("frame", 0);
    const dataset = await openDataset(root, args.optional("layout"), frame);
    const name = basename(resolve(root)).replace(/\.[a-z]+$/, "");
    const out = args.optional("out") ?? `${name}.yaml`;
    if (existsSync(out)) {
      throw new UsageError(
        `--out: expected the name of a new file, received '${out}', which exists; choose another`,
      );
    }
    const first = await lookAtFirst(dataset);
    const preset = presetFor(args.optional("preset"), dataset);
    const withLabel = dataset.train.filter(({ label }) => label !== undefined).length;
    const labelled = Math.min(withLabel, preset?.labelled ?? withLabel);
    const unlabelled = dataset.train.length - labelled;
    const { patch = patchFor(first.shape), relabel, schedule, ...groups } = preset?.settings ?? {};
    const data = { root: resolve(root), layout: dataset.layout, labelled, unlabelled: "all", test: "all" };
    const config = {
      name,
      data: { ...data, ...(frame !== undefined && { frame }), ...(relabel && { relabel }) },
      ...groups,
      patch,
      sam: { size: "tiny", canvas: canvasFor(patch) },
      finetune: { steps: 600 },
      retrain: { steps: 600, ...(schedule && { schedule }) },
      pseudoLabels: "per-volume",
      arms:
        unlabelled > 0
          ? [{ method: "labelled-only" }, { method: "mean-teacher", pseudoLabels: "sam" }]
          : [{ method: "labelled-only" }],
    };
    await writeFileAtomic(out, commentOf(preset) + stringify(config));
    const facts = {
      layout: dataset.layout,
      ...(preset && { preset: preset.name, terms: preset.licence, cite: preset.citations.join("; ") }),
      labelled,
      unlabelled,
      test: dataset.test.length,
      ...(dataset.labels === undefined ? {} : { labels: { ...dataset.labels } }),
      first: first.text,
      patch: config.patch,
      written: out,
    };
    const lines = Object.entries(facts).map(
      ([key, value]) => `${key.padEnd(10)}  ${typeof value === "object" ? JSON.stringify(value) : value}`,
    );
    context.result(lines.join("\n"), facts);
    return undefined;
  },
};

/** The preset of this name, or of the layout of a public data set. @throws UsageError for an unknown name */
function presetFor(name: string | undefined, { layout }: Dataset): Preset | undefined {
  if (name === undefined) return presets.find((preset) => preset.layout === layout);
  const found = presets.find((preset) => preset.name === name);
  if (found !== undefined || name === "none") return found;
  const known = [...presets.map((preset) => preset.name), "none"];
  const nearest = nearestName(name, known);
  throw new UsageError(
    `--preset: expected one of ${known.join(", ")}, received '${name}'; ` +
      (nearest === null ? "choose one" : `did you mean '${nearest}'?`),
  );
}

/** Head of the file: what the settings are, whose the data are. */
function commentOf(preset: Preset | undefined): string {
  if (preset === undefined) return comment;
  const { name, title, licence, citations } = preset;
  const about = [
    `Preset ${name}: ${title}.`,
    `Terms of use: ${licence}.`,
    ...citations.map((work) => `Cite: ${work}`),
  ];
  return `${comment}#\n${about.map((line) => `# ${line}\n`).join("")}`;
}

/** Header of the first case; its voxels are left unread. */
async function lookAtFirst({ root, train, test }: Dataset): Promise<{ shape: Vec3; text: string }> {
  const { readGrid } = await import("../../data/volume-file.js");
  const { orientationLetters } = await import("../../data/orientation.js");
  const first = [...train, ...test][0];
  const path = first?.image ?? root;
  const { shape, spacing, grid } = await readGrid(path, first?.frame);
  const place = grid ? `, axes ${orientationLetters(grid.orientation)}` : "";
  const size =
    spacing === null ? "unknown" : `${spacing.map((step) => Number(step.toPrecision(4))).join(" x ")} mm`;
  return {
    shape,
    text: `${basename(path)}: ${shape.join(" x ")} voxels (${voxelCount(shape)}), spacing ${size}${place}`,
  };
}

function patchFor(shape: Vec3): Vec3 {
  const along = (axis: 0 | 1 | 2): number => {
    const most = Math.min(PATCH[axis], shape[axis]);
    return Math.max(PATCH_STEP, Math.floor(most / PATCH_STEP) * PATCH_STEP);
  };
  return [along(0), along(1), along(2)];
}

function canvasFor([x, y, z]: Vec3): number | undefined {
  const holdsAll = (side: number) => Math.floor(side / x) * Math.floor(side / y) >= z;
  return CANVASES.find(holdsAll) ?? CANVASES.at(-1);
}
