import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../../errors.js";
import { type Command, outFlag } from "../command.js";

export const dicomExport: Command = {
  name: "dicom-export",
  summary: "Write labels as DICOM segmentations of the series that they belong to",
  positionals: [
    {
      name: "labels",
      help: "Label files on the grids of their series, as `predict` writes them",
      count: "many",
    },
  ],
  flags: [
    {
      name: "series",
      kind: "text",
      help: "Folder with the series: for labels p01.nii.gz the slices in its folder p01",
      required: true,
    },
    {
      name: "names",
      kind: "text",
      help: "Names of label ids, with commas between: 1=liver,2=spleen; default: those in labels.ctbl beside the labels",
    },
    outFlag("Folder to write <name>.dcm to"),
  ],
  settings: [],
  examples: [
    [
      "sfr dicom-export labels/*.nii.gz --series scans --out segmentations",
      "Needs the optional package dcmjs",
    ],
  ],
  async run(args, context) {
    const { formatOf, splitVolumeName } = await import("../../data/formats/index.js");
    const { openSeries } = await import("../../dicom/series.js");
    const { SliceReader } = await import("../../dicom/slice-reader.js");
    const { writeSegmentation } = await import("../../dicom/segmentation.js");
    const { readLabels } = await import("../../data/volume-file.js");
    const { readColorTableNames } = await import("../../run/label-legend.js");
    const { eachCase } = await import("../each-case.js");
    const [out, scans] = [args.text("out"), args.text("series")];
    const given = args.optional("names");
    const named = given === undefined ? undefined : readNames(given);
    const cases = args.many("labels").map((path) => {
      formatOf(path);
      return { name: splitVolumeName(basename(path))?.stem ?? basename(path), path };
    });
    await mkdir(out, { recursive: true });
    await using reader = new SliceReader();
    return await eachCase(cases, context, async ({ name, path }) => {
      const series = await openSeries(join(scans, name), reader);
      const written = join(out, `${name}.dcm`);
      const names = named ?? (await readColorTableNames(dirname(path)));
      const counts = await writeSegmentation(written, await readLabels(path), series, names);
      const { segments, frames } = counts;
      return { text: `${written}: ${segments} segments, ${frames} frames`, value: { written, ...counts } };
    });
  },
};

function readNames(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const part of text.split(",")) {
    const [, id, name] = /^\s*(\d+)\s*=\s*(\S.*?)\s*$/.exec(part) ?? [];
    if (id === undefined || name === undefined) {
      throw new UsageError(
        `--names: expected id=name with commas between, received '${part}'; correct the value`,
      );
    }
    names.set(Number(id), name);
  }
  return names;
}
