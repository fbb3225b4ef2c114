import { openDataset } from "../data/cases.js";
import { formatOf, splitVolumeName } from "../data/formats/index.js";
import { pathKind } from "../data/layouts/layout.js";
import { orientationLetters } from "../data/orientation.js";
import { segmentsOf } from "../data/segments.js";
import { readLabels, streamVolume } from "../data/volume-file.js";
import { DataError } from "../errors.js";
import { formatDuration } from "../io/progress.js";
import type { JsonValue } from "../io/stage-key.js";
import { openWeights } from "../io/weights-file.js";
import { readRunRecord } from "../run/run-folder.js";

/** What was found, for people and for programs. */
export interface Inspection {
  readonly lines: readonly string[];
  readonly value: JsonValue;
}

/** Label ids are listed when a volume holds at most so many whole numbers. */
const maxLabels = 64;

/** Looks at a file or folder by its name. @param frame which volume of a 4D one @throws DataError when there is nothing that we can read */
export async function inspectPath(path: string, frame: number | null): Promise<Inspection> {
  const kind = await pathKind(path);
  if (kind === null)
    throw new DataError(`${path}: expected a file or folder, received nothing; correct the path`);
  if (kind === "folder") return readRunRecord(path) === undefined ? inspectDataset(path) : inspectRun(path);
  if (splitVolumeName(path)) return inspectVolume(path, frame);
  if (/\.(safetensors|pth|pt|bin)$/i.test(path)) return inspectWeights(path);
  if (/\.(list|txt|tsv|json)$/i.test(path)) return inspectDataset(path);
  throw new DataError(
    `${path}: expected a volume, .safetensors, .pth or a list file, received another name; convert it`,
  );
}

/** Gathers what there is to say of voxels while they stream by. */
class VoxelStatistics {
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;
  private sum = 0;
  private count = 0;
  private notFinite = 0;
  private isWhole = true;
  private readonly ids = new Set<number>();

  add(values: ArrayLike<number>, count: number): void {
    for (let i = 0; i < count; i += 1) {
      const value = values[i] ?? 0;
      if (!Number.isFinite(value)) {
        this.notFinite += 1;
        continue;
      }
      this.low = Math.min(this.low, value);
      this.high = Math.max(this.high, value);
      this.sum += value;
      this.count += 1;
      this.isWhole &&= Number.isInteger(value) && value >= 0;
      if (this.isWhole && this.ids.size <= maxLabels) this.ids.add(value);
    }
  }

  /** Rows of the table; label ids when the voxels can be labels. */
  facts(): Record<string, JsonValue> {
    const canBeLabels = this.isWhole && this.count > 0 && this.ids.size <= maxLabels;
    return {
      range: this.count === 0 ? null : [this.low, this.high],
      mean: this.count === 0 ? null : this.sum / this.count,
      ...(this.notFinite > 0 ? { "not finite": this.notFinite } : {}),
      ...(canBeLabels ? { "label ids": [...this.ids].sort((a, b) => a - b) } : {}),
    };
  }
}

async function inspectVolume(path: string, frame: number | null): Promise<Inspection> {
  const statistics = new VoxelStatistics();
  const header = await streamVolume(
    path,
    { content: "image", frame },
    () => (values, count) => statistics.add(values, count),
  );
  const { format, shape, spacing, type, slope, intercept, affine, orientation, source } = header;
  const segments = segmentsOf(source).map(({ id, name }) => [id, name] as const);
  return table({
    kind: `${format} volume`,
    "voxels (x, y, z)": shape,
    "spacing (x, y, z), mm": spacing === null ? null : spacing.map(rounded),
    type: type.name,
    "scaling (slope, intercept)": [slope, intercept],
    "axes run to": affine === null ? null : orientationLetters(orientation),
    "affine (RAS), mm": affine === null ? null : affine.map((row) => row.map(rounded)),
    ...statistics.facts(),
    ...(segments.length > 0 ? { segments: Object.fromEntries(segments) } : {}),
    ...(formatOf(path).holdsLabel ? { "label ids": await labelIds(path) } : {}),
  });
}

/** Ids of the label beside an image in one file; null when there is none, as with an unlabelled case. */
async function labelIds(path: string): Promise<number[] | null> {
  try {
    return [...new Set((await readLabels(path)).data)].sort((a, b) => a - b);
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

async function inspectDataset(path: string): Promise<Inspection> {
  const { layout, train, test, labels } = await openDataset(path);
  const labelled = train.filter(({ label }) => label !== undefined);
  const unlabelled = train.filter(({ label }) => label === undefined);
  const ids = (cases: readonly { readonly id: string }[]) => cases.map(({ id }) => id);
  return table({
    kind: "data set",
    layout,
    "training cases with label": ids(labelled),
    "training cases without label": ids(unlabelled),
    "test cases": ids(test),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
  });
}

function inspectRun(path: string): Inspection {
  const record = readRunRecord(path);
  return table({
    kind: "run folder",
    status: record?.status ?? null,
    started: record?.created ?? null,
    seed: record?.seed ?? null,
    "CPU level": record?.cpuLevel ?? null,
    stages: Object.fromEntries(
      (record?.stages ?? []).map(({ name, status, wallSeconds }) => [
        name,
        `${status}, ${formatDuration(wallSeconds)}`,
      ]),
    ),
    "failed cases": Object.entries(record?.cases ?? {}).flatMap(([id, { status }]) =>
      status === "failed" ? [id] : [],
    ),
  });
}

async function inspectWeights(path: string): Promise<Inspection> {
  await using file = await openWeights(path);
  const { tensors, metadata } = file;
  const parameters = [...tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1),
    0,
  );
  return table({
    kind: "weights",
    tensors: Object.fromEntries(
      [...tensors].map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(", ")}]`]),
    ),
    count: tensors.size,
    elements: parameters,
    metadata: { ...metadata },
  });
}

/** Lays facts out: one line each, members of a list or record that does not fit on a line below it. */
function table(facts: Readonly<Record<string, JsonValue>>): Inspection {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  const lines = Object.entries(facts).flatMap(([name, value]) => {
    const [first = "", ...rest] = valueLines(value);
    return [`${name.padEnd(width)}  ${first}`, ...rest.map((line) => `${" ".repeat(width)}  ${line}`)];
  });
  return { lines, value: facts };
}

function valueLines(value: JsonValue): string[] {
  if (value === null) return ["unknown"];
  if (Array.isArray(value)) {
    const isNested = value.some((item) => Array.isArray(item));
    if (isNested) return value.map((item) => valueLines(item).join(" "));
    return [
      value.length === 0 ? "none" : `${value.join(", ")}${value.length > 9 ? `  (${value.length})` : ""}`,
    ];
  }
  if (typeof value === "object") {
    const members = Object.entries(value);
    return members.length === 0 ? ["none"] : members.map(([name, item]) => `${name}: ${String(item)}`);
  }
  return [String(value)];
}

function rounded(value: number): number {
  return Number(value.toPrecision(7));
}
