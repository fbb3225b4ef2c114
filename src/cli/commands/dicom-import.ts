import { mkdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type Command, outFlag } from "../command.js";

export const dicomImport: Command = {
  name: "dicom-import",
  summary: "Write DICOM series as volumes, in scanner units and where they lie in the scanner",
  positionals: [
    {
      name: "series",
      help: "Folders, each with the slices of one series; names of the results",
      count: "many",
    },
  ],
  flags: [outFlag("Folder to write <series>.nii.gz to")],
  settings: [],
  examples: [["sfr dicom-import scans/* --out images", "Needs the optional package dcmjs"]],
  async run(args, context) {
    const { openSeries, readSeries } = await import("../../dicom/series.js");
    const { SliceReader } = await import("../../dicom/slice-reader.js");
    const { writeImage } = await import("../../data/volume-file.js");
    const { orientationLetters } = await import("../../data/orientation.js");
    const { eachCase } = await import("../each-case.js");
    const out = args.text("out");
    const cases = args.many("series").map((path) => ({ name: basename(resolve(path)), path }));
    await mkdir(out, { recursive: true });
    await using reader = new SliceReader();
    return await eachCase(cases, context, async ({ name, path }) => {
      const series = await openSeries(path, reader);
      const written = join(out, `${name}.nii.gz`);
      await writeImage(written, await readSeries(series));
      const { shape, spacing, orientation } = series.header;
      const axes = orientationLetters(orientation);
      return {
        text: `${written}: ${shape.join(" x ")} voxels, axes run to ${axes}`,
        value: { written, shape, spacing, axes },
      };
    });
  },
};
