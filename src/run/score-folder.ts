import { openDataset } from "../data/cases.js";
import { formatOf } from "../data/formats/index.js";
import { gridDifference } from "../data/grid-match.js";
import {
  classesOfIds,
  type LabelTable,
  leaveOutIgnored,
  makeLabelTable,
  type Relabelling,
  relabelledIds,
  withIgnored,
} from "../data/label-table.js";
import { pathKind, volumeFiles } from "../data/layouts/layout.js";
import { loadLabelIds } from "../data/load-case.js";
import { resampleLabels } from "../data/resample-labels.js";
import type { LabelVolume } from "../data/volume.js";
import { readLabels } from "../data/volume-file.js";
import { isCaseError, messageOf } from "../error-text.js";
import { CancelledError, DataError } from "../errors.js";
import type { Progress } from "../io/progress.js";
import { scoreClasses } from "../metrics/scores.js";
import type { CaseScores } from "../metrics/summary.js";
import { Tensor } from "../native/tensor.js";

/** Scores of a folder. */
export interface FolderScores {
  readonly scores: readonly CaseScores[];
  /** What went wrong, by case id. */
  readonly failures: Readonly<Record<string, string>>;
  /** Number of references that were to be scored. */
  readonly references: number;
}

export interface FolderOptions {
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Of NSD, in mm (voxels where the reference has no spacing); default 1. */
  readonly tolerance?: number | undefined;
  /** Brings predictions that lie on another grid to that of their reference, by nearest neighbour. */
  readonly resample?: boolean | undefined;
  /** Ids of the references that count as others; those that a data set ignores are ignored besides. Default: none. */
  readonly relabel?: Relabelling | undefined;
}

/** A reference: where it lies and how its ids are read. */
interface Reference {
  readonly path: string;
  read(): Promise<LabelVolume>;
}

/**
 * Scores the label files of a folder against the references of the same names; a case that fails is listed, the rest
 * goes on. A prediction without a reference is not scored, a reference without a prediction fails.
 *
 * @param referenceRoot a folder of label files, or a data set whose cases have labels
 * @throws DataError when a folder cannot be read or no name fits
 */
export async function scoreFolder(
  predictionFolder: string,
  referenceRoot: string,
  { progress, signal, relabel, ...options }: FolderOptions,
): Promise<FolderScores> {
  const predictions = await volumeFiles(predictionFolder);
  const { references, isComplete, ignore } = await findReferences(referenceRoot);
  const relabelling = withIgnored(ignore, relabel);
  if (![...references.keys()].some((id) => predictions.has(id))) {
    const [first] = predictions.keys();
    const [wanted] = references.keys();
    throw new DataError(
      `${predictionFolder}: expected label files named as in ${referenceRoot}` +
        `${wanted === undefined ? "" : ` (${wanted}, ...)`}, received ${first === undefined ? "none" : `${first}, ...`}; ` +
        "give the folder of their predictions",
    );
  }
  const wanted = [...references].filter(([id]) => isComplete || predictions.has(id));
  const scores: CaseScores[] = [];
  const failures: Record<string, string> = {};
  const start = performance.now();
  progress.begin("evaluate", wanted.length, 0, "cases");
  for (const [index, [id, reference]] of wanted.entries()) {
    if (signal?.aborted) throw new CancelledError("evaluate: stopped on request; no scores were written");
    try {
      scores.push(await scoreFile(id, predictions.get(id), reference, { ...options, relabel: relabelling }));
    } catch (error) {
      if (!isCaseError(error)) throw error;
      failures[id] = messageOf(error);
    }
    progress.update(index + 1);
  }
  progress.end((performance.now() - start) / 1000);
  return { scores, failures, references: wanted.length };
}

/** The references of a folder or data set. */
interface References {
  readonly references: ReadonlyMap<string, Reference>;
  /** Every one must have a prediction; of a data set, only those that were predicted are scored. */
  readonly isComplete: boolean;
  /** The id of voxels that the data set leaves out. */
  readonly ignore?: number | undefined;
}

async function findReferences(root: string): Promise<References> {
  const files = (await pathKind(root)) === "file" ? [] : [...(await volumeFiles(root))];
  // Files that hold image and label belong to a data set.
  const labels = files.filter(([, path]) => !formatOf(path).holdsLabel);
  if (labels.length > 0) {
    const references = labels.map(([id, path]): [string, Reference] => [
      id,
      { path, read: () => readLabels(path) },
    ]);
    return { references: new Map(references), isComplete: true };
  }
  const dataset = await openDataset(root);
  const labelled = [...dataset.train, ...dataset.test].filter(({ label }) => label !== undefined);
  const references = labelled.map((entry): [string, Reference] => [
    entry.id,
    { path: entry.label ?? "", read: () => loadLabelIds(entry) },
  ]);
  return { references: new Map(references), isComplete: false, ignore: dataset.ignore };
}

async function scoreFile(
  id: string,
  predictionFile: string | undefined,
  reference: Reference,
  { tolerance, resample, relabel = {} }: Pick<FolderOptions, "tolerance" | "resample" | "relabel">,
): Promise<CaseScores> {
  if (predictionFile === undefined) {
    throw new DataError(
      `case '${id}': expected a prediction for ${reference.path}, received none; predict it first`,
    );
  }
  let predicted = await readLabels(predictionFile);
  const truth = await reference.read();
  const difference = gridDifference(truth, predicted);
  // Results of h5 volumes have an affine that says nothing.
  if (difference && !(difference.what === "geometry" && truth.grid === undefined)) {
    if (resample !== true) {
      throw new DataError(
        `${predictionFile}: expected ${difference.expected} as ${reference.path} has, ` +
          `received ${difference.received}; resample it to that grid, or have it done with --resample`,
      );
    }
    predicted = resampleLabels(predicted, truth, predictionFile);
  }
  // Predictions have the ids that count.
  const ids = [...new Set([0, ...new Set(predicted.data), ...relabelledIds(new Set(truth.data), relabel)])];
  const common = { id, referenceFile: reference.path, predictionFile, unit: unitOf(truth) };
  // Nothing but background on both sides: there is no class to score.
  if (ids.length < 2) return { ...common, classes: [] };
  const table = makeLabelTable(ids, `case '${id}'`);
  const toTensor = (volume: LabelVolume, by: LabelTable): Tensor => {
    const mapped = classesOfIds(volume.data, by);
    if (!("classes" in mapped))
      throw new DataError(`case '${id}': expected ids of the table, received another`);
    return Tensor.from("u8", [...volume.shape].reverse(), mapped.classes);
  };
  using prediction = toTensor(predicted, table);
  using target = toTensor(truth, { ...table, relabel });
  leaveOutIgnored(target.u8, prediction.u8);
  const spacing = truth.spacing ?? [1, 1, 1];
  return {
    ...common,
    classes: await scoreClasses(prediction, target, { labelIds: table.ids, spacing, tolerance }),
  };
}

function unitOf({ spacing }: LabelVolume): CaseScores["unit"] {
  return spacing === null ? "voxel" : "mm";
}
