import { CancelledError } from "../../errors.js";
import type { Case, Dataset } from "../cases.js";
import { cornerShift, type Grid, gridDifference, SAME_PLACE } from "../grid-match.js";
import { AS_STORED } from "../orientation.js";
import { formatShape, type Vec3 } from "../volume.js";
import type { FactsCache, Finding, VolumeFacts } from "./facts.js";
import { canRepair, type LabelRepair } from "./repair.js";

/** Something that is wrong, or that one should know. */
export interface Remark {
  /** A fault stops a training; what is harmless here troubles other programs and can be repaired; a note is to know. */
  readonly kind: "fault" | "harmless" | "note";
  /** Id of the case whose files are at fault; absent where several are. */
  readonly caseId?: string;
  /** One line: file, expected, received, cure. */
  readonly text: string;
  /** How to mend it without a loss; present where it is harmless. */
  readonly repair?: LabelRepair;
}

/** What a check found. */
export interface CheckResult {
  readonly remarks: readonly Remark[];
  /** Facts of the images that can be read, by case id. */
  readonly images: ReadonlyMap<string, VolumeFacts>;
}

/** Files that are read at the same time: unpacking runs on other threads than decoding. */
const AT_ONCE = 3;
/** Spacings that differ from the median by more than this factor are noted. */
const UNLIKE_SPACING = 1.5;
/** Grids that are off by more than this share of a voxel's edge are not the same for programs that are strict (ITK). */
const STRICT_SAME = 1e-6;

interface Examined {
  readonly entry: Case;
  /** Of the image's first file. */
  readonly image: Finding;
  /** Of the files of further channels. */
  readonly further: readonly { readonly path: string; readonly finding: Finding }[];
  /** Undefined for an unlabelled case. */
  readonly label: Finding | undefined;
}

/**
 * Looks at every volume of a data set: whether it can be read, whether labels lie on their images' grids, which ids
 * they have, and what stands out.
 *
 * @param cache findings of earlier checks; files that have not changed are not read again
 * @param progress called with the number of cases that are done
 * @throws CancelledError when stopped
 */
export async function checkDataset(
  dataset: Dataset,
  cache: FactsCache,
  progress: (done: number) => void,
  signal?: AbortSignal,
): Promise<CheckResult> {
  const cases = [...dataset.train, ...dataset.test];
  const examined: Examined[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < cases.length; index = next++) {
      const entry = cases[index];
      if (signal?.aborted) throw new CancelledError("check: stopped on request");
      if (!entry) return;
      const wanted = { content: "image", frame: entry.frame ?? "all" } as const;
      const image = await cache.examine(entry.image, wanted);
      const further: { path: string; finding: Finding }[] = [];
      for (const path of entry.further ?? [])
        further.push({ path, finding: await cache.examine(path, wanted) });
      const label =
        entry.label === undefined
          ? undefined
          : await cache.examine(entry.label, { content: "label", frame: null });
      examined[index] = { entry, image, further, label };
      progress(examined.filter(Boolean).length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const images = new Map(
    examined.flatMap(({ entry, image }) => ("facts" in image ? [[entry.id, image.facts] as const] : [])),
  );
  const remarks = [
    ...examined.flatMap((item) =>
      remarksOfCase(item).map((remark) => ({ ...remark, caseId: item.entry.id })),
    ),
    ...duplicates(examined),
    ...unlikeIds(examined, dataset),
    ...unlikeImages(examined),
  ];
  return { remarks: [...remarks].sort((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0)), images };
}

const fault = (text: string): Remark => ({ kind: "fault", text });
const note = (text: string): Remark => ({ kind: "note", text });

function remarksOfImage(path: string, image: Finding): Remark[] {
  if ("problem" in image) return [fault(image.problem)];
  const { notFinite, range, otherForm } = image.facts;
  const remarks: Remark[] = [];
  if (otherForm !== null && otherForm.voxels > SAME_PLACE) {
    remarks.push(
      note(
        `${path}: s-form and q-form are up to ${short(otherForm.mm)} mm apart; the s-form is used here, other programs may take the q-form`,
      ),
    );
  }
  if (notFinite > 0) {
    remarks.push(
      fault(
        `${path}: expected finite numbers for the voxels, received ${notFinite} that are not; repair or leave out this case`,
      ),
    );
  }
  if (range && range[0] === range[1])
    remarks.push(fault(`${path}: expected an image, received ${range[0]} everywhere; leave out this case`));
  return remarks;
}

function remarksOfCase(item: Examined): Remark[] {
  const { entry, image, further, label } = item;
  const remarks = remarksOfImage(entry.image, image);
  for (const { path, finding } of further) {
    remarks.push(...remarksOfImage(path, finding));
    if ("facts" in image && "facts" in finding)
      remarks.push(
        ...remarksOfGrid(
          path,
          entry.image,
          image.facts,
          finding.facts,
          "resample the channels of a case to one grid",
        ),
      );
  }
  if (label === undefined) return remarks;
  if ("problem" in label) return [...remarks, fault(label.problem)];
  remarks.push(...harmless(item));
  if ("facts" in image)
    remarks.push(
      ...remarksOfGrid(
        `${entry.label}`,
        entry.image,
        image.facts,
        label.facts,
        "give the label of this image",
      ),
    );
  if (label.facts.ids?.every((id) => id === 0)) {
    remarks.push(note(`${entry.label}: no voxel is labelled; make sure that the case has nothing to find`));
  }
  return remarks;
}

/** What a label has that can be mended without a loss: a place off by rounding, or ids stored in a way that others refuse. */
function harmless({ entry, image, label }: Examined): Remark[] {
  if (entry.label === undefined || !label || "problem" in label || "problem" in image) return [];
  const { affine, stored } = label.facts;
  const repair: LabelRepair = { label: entry.label, image: entry.image, frame: entry.frame ?? null };
  if (!canRepair(entry.label) || gridDifference(gridOfFacts(image.facts), gridOfFacts(label.facts)) !== null)
    return [];
  const found: string[] = [];
  const shift = affine && image.facts.affine && cornerShift(image.facts.affine, affine, label.facts.shape);
  if (shift && shift.voxels > STRICT_SAME)
    found.push(`expected the place of ${entry.image}, received one that is off by ${short(shift.mm)} mm`);
  if (/scaled|float|64/.test(stored))
    found.push(`expected ids stored as integers of 8 to 32 bits, received ${stored}`);
  return found.map((text) => ({
    kind: "harmless",
    text: `${entry.label}: ${text}; read rightly here, --repair mends it for other programs`,
    repair,
  }));
}

/** @param cure of a file that does not lie where the image does */
function remarksOfGrid(
  path: string,
  imagePath: string,
  image: VolumeFacts,
  other: VolumeFacts,
  cure: string,
): Remark[] {
  const difference = gridDifference(gridOfFacts(image), gridOfFacts(other));
  if (!difference) return [];
  const { expected, received } = difference;
  return [fault(`${path}: expected ${expected} as ${imagePath} has, received ${received}; ${cure}`)];
}

function gridOfFacts({ shape, spacing, affine }: VolumeFacts): Grid {
  return { shape, spacing, ...(affine && { grid: { affine, orientation: AS_STORED, header: null } }) };
}

/** Images with the same voxels, and training cases that are test cases as well. */
function duplicates(examined: readonly Examined[]): Remark[] {
  const first = new Map<string, string>();
  return examined.flatMap(({ entry, image }) => {
    if ("problem" in image) return [];
    const { shape, checksum, range } = image.facts;
    const key = [shape, checksum, range].join(" ");
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, entry.image);
      return [];
    }
    return [
      fault(`${entry.image}: expected other voxels than in ${before}, received the same; remove one of them`),
    ];
  });
}

/** Ids that some labels lack, and ids without a name. */
function unlikeIds(examined: readonly Examined[], { labels, ignore }: Dataset): Remark[] {
  const labelled = examined.flatMap(({ label }) =>
    label && "facts" in label ? [label.facts.ids ?? []] : [],
  );
  const counts = new Map<number, number>();
  for (const id of labelled.flat()) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => a - b)
    .flatMap(([id, count]) => {
      const remarks: Remark[] = [];
      if (id !== 0 && count < labelled.length) {
        remarks.push(note(`label id ${id}: in ${count} of ${labelled.length} labels`));
      }
      if (id !== 0 && id !== ignore && labels && labels[id] === undefined) {
        remarks.push(
          note(
            `label id ${id}: expected one of ${Object.keys(labels).join(", ")}, which have names; name it, or correct the labels`,
          ),
        );
      }
      return remarks;
    });
}

/** Images whose spacing or range of values is far from that of the others. */
function unlikeImages(examined: readonly Examined[]): Remark[] {
  const known = examined.flatMap(({ entry, image }) =>
    "facts" in image ? [{ entry, facts: image.facts }] : [],
  );
  const spacings = known.flatMap(({ facts }) => (facts.spacing ? [facts.spacing] : []));
  const typical: Vec3 = [0, 1, 2].map((axis) => median(spacings.map((spacing) => spacing[axis] ?? 1))) as [
    number,
    number,
    number,
  ];
  const isCt = known.filter(({ facts }) => (facts.range?.[0] ?? 0) <= -200).length > known.length / 2;
  return known.flatMap(({ entry, facts: { spacing, range } }) => {
    const remarks: Remark[] = [];
    const far = spacing?.some((step, axis) => {
      const ratio = step / (typical[axis] ?? step);
      return ratio > UNLIKE_SPACING || ratio < 1 / UNLIKE_SPACING;
    });
    if (spacing && far) {
      remarks.push(
        note(
          `${entry.image}: voxels of ${formatShape(spacing.map(short))} mm, of ${formatShape(typical.map(short))} mm as a rule; resample it`,
        ),
      );
    }
    if (isCt && range && range[0] >= 0) {
      remarks.push(
        note(
          `${entry.image}: values from ${short(range[0])} to ${short(range[1])} where most images have Hounsfield units; convert it from the original`,
        ),
      );
    }
    return remarks;
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 1;
}

const short = (value: number): number => Number(value.toPrecision(4));
