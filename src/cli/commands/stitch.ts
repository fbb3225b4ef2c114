import { findCases } from "../../batch/cases.js";
import { extensions } from "../../data/formats/index.js";
import { CancelledError, UsageError } from "../../errors.js";
import { type Command, frameFlag, outFlag } from "../command.js";

/** Side of a canvas when none is named, in pixels: SAM's own. */
const defaultCanvas = 1024;

export const stitch: Command = {
  name: "stitch",
  summary: "Write volumes as stitched canvases: PNG pictures and a record to get back from",
  positionals: [
    { name: "inputs", help: `Volumes (${extensions.join(", ")}) or folders of them`, count: "many" },
  ],
  flags: [
    { name: "labels", kind: "boolean", help: "The volumes are label maps: keep their ids as gray values" },
    { name: "canvas", kind: "integer", help: "Side of a canvas in pixels", default: String(defaultCanvas) },
    frameFlag,
    outFlag("Folder for the pictures", "canvases"),
  ],
  settings: [],
  examples: [
    ["sfr stitch heart.nii.gz --out canvases", "See a volume as SAM does"],
    [
      "sfr stitch heart_label.nii.gz --labels --canvas 512",
      "Label maps, to be edited and read back by `unstitch`",
    ],
  ],
  async run(args, context) {
    const out = args.optional("out") ?? "canvases";
    const canvas = args.integer("canvas", 1) ?? defaultCanvas;
    const frame = args.integer("frame", 0);
    const inputs = await findCases(args.many("inputs"));
    const twice = inputs.find(({ problem }) => problem !== undefined);
    if (twice?.problem !== undefined) throw new UsageError(twice.problem);
    await context.engine();
    const { writeCanvases } = await import("../../stitch/canvas-files.js");
    const { readImage, readLabels } = await import("../../data/volume-file.js");
    const records: string[] = [];
    const pictures: string[] = [];
    for (const entry of inputs) {
      if (context.signal.aborted) throw new CancelledError("stitch: stopped on request");
      const read = args.is("labels") ? readLabels : readImage;
      const volume = await read(entry.image, frame);
      const written = await writeCanvases(volume, { source: entry.image, name: entry.id, out, canvas });
      records.push(written.record);
      pictures.push(...written.pictures);
    }
    context.result([...records, ...pictures].join("\n"), { records, pictures });
    return undefined;
  },
};
