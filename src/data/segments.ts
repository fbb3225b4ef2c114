import { DataError } from "../errors.js";
import type { FileHeader } from "./volume.js";

/** Red, green and blue from 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** What a label id stands for, and the colour that it is shown in. */
export interface Segment {
  readonly id: number;
  readonly name: string;
  readonly color: Rgb;
}

/** Lines of a header that describe segments. */
const SEGMENT_LINE = /^Segment(\d*|ation)_(\w+):=(.*)$/;

/**
 * The segments that the header of an NRRD file describes, as 3D Slicer writes them into `.seg.nrrd`; none for other files.
 * Those without a name or colour are left out. Source:
 * slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html.
 *
 * @param header its text is UTF-8
 */
export function segmentsOf(header: FileHeader | null | undefined): Segment[] {
  if (header?.format !== "nrrd") return [];
  const found = new Map<string, Map<string, string>>();
  for (const line of new TextDecoder().decode(header.bytes).split("\n")) {
    const [, key = "", field = "", value = ""] = SEGMENT_LINE.exec(line) ?? [];
    if (field !== "") found.set(key, (found.get(key) ?? new Map<string, string>()).set(field, value));
  }
  return [...found.values()].flatMap((fields) => {
    const id = Number(fields.get("LabelValue"));
    const name = unescaped(fields.get("Name") ?? "").trim();
    const [red = Number.NaN, green = Number.NaN, blue = Number.NaN] = (fields.get("Color") ?? "")
      .split(" ")
      .map((part) => Math.round(255 * Number(part)));
    const isColor = [red, green, blue].every((part) => part >= 0 && part <= 255);
    return Number.isInteger(id) && name !== "" && isColor ? [{ id, name, color: [red, green, blue] }] : [];
  });
}

/** True for the lines of an NRRD header that describe segments. */
export function isSegmentLine(line: string): boolean {
  return SEGMENT_LINE.test(line);
}

/** Lines for the header of an NRRD file, as `segmentsOf` reads them. */
export function segmentLines(segments: readonly Segment[]): string[] {
  return segments.flatMap(({ id, name, color }, index) => {
    const fields = {
      ID: `Segment_${id}`,
      LabelValue: id,
      Layer: 0,
      Name: escaped(name),
      Color: color.map((part) => Number((part / 255).toFixed(6))).join(" "),
    };
    return Object.entries(fields).map(([field, value]) => `Segment${index}_${field}:=${value}`);
  });
}

/** Values of NRRD's keys stand in one line: line feeds and backslashes are escaped. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function unescaped(text: string): string {
  return text.replace(/\\(\\|n)/g, (_, letter) => (letter === "n" ? "\n" : "\\"));
}

/** A colour table as 3D Slicer reads it: id, name, red, green, blue and opacity; blanks in names are underscores. */
export function colorTable(segments: readonly Segment[]): string {
  const lines = segments.map(({ id, name, color }) =>
    [id, name.replace(/\s+/g, "_"), ...color, 255].join(" "),
  );
  return ["# Color table: id name red green blue opacity", "0 background 0 0 0 0", ...lines, ""].join("\n");
}

/**
 * Names by label id in a colour table, the background's left out; underscores are blanks, as 3D Slicer reads them.
 *
 * @param where for messages
 * @throws DataError on a line that is no id with a name
 */
export function namesInColorTable(text: string, where: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, id, name = ""] = /^\s*(\d+)\s+(\S+)/.exec(line) ?? [];
    if (id === undefined) {
      throw new DataError(
        `${where}: expected lines of label id, name and colour, received '${line}'; mend the line`,
      );
    }
    if (Number(id) !== 0) names.set(Number(id), name.replaceAll("_", " "));
  }
  return names;
}
