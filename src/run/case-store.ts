import type { Config } from "../config/schema.js";
import { type Case, openDataset } from "../data/cases.js";
import type { Grid } from "../data/grid-match.js";
import {
  type LabelTable,
  type Relabelling,
  relabelColors,
  relabelNames,
  withIgnored,
} from "../data/label-table.js";
import { type CaseLists, imageFiles } from "../data/layouts/layout.js";
import { discoverLabels, type LoadedCase, loadCase } from "../data/load-case.js";
import { type PreparedCase, prepareCase } from "../data/prepare.js";
import { makePlan, type PreprocessingPlan } from "../data/preprocessing-plan.js";
import type { Rgb } from "../data/segments.js";
import { type Split, splitCases } from "../data/splits.js";
import { readGrid } from "../data/volume-file.js";
import { CancelledError, DataError } from "../errors.js";
import { hashFiles } from "../io/hash-files.js";
import { type NamedLocator, openLocator } from "./locator.js";

/** The data of a run: which cases, which classes, what their files hold. Training cases are read once. */
export class CaseStore {
  private labelledCases: Promise<PreparedCase[]> | undefined;
  private unlabelledCases: Promise<PreparedCase[]> | undefined;

  private constructor(
    readonly split: Split,
    private readonly table: LabelTable,
    /** What the data set says of the ids in its files. */
    readonly fileLabels: Pick<CaseLists, "labels" | "ignore">,
    /** Class names by label id, when the data set or its label files have them. */
    readonly labelNames: Readonly<Record<string, string>>,
    /** Colours by label id, when its label files have them. */
    readonly labelColors: Readonly<Record<string, Rgb>>,
    /** SHA-256 of the files of each case; a case that cannot be read has none. */
    readonly hashes: Readonly<Record<string, string>>,
    /** How volumes are treated. */
    readonly plan: PreprocessingPlan,
    /** What the plan crops by, where it does. */
    private readonly named: NamedLocator | undefined,
    /** The channel that SAM sees and pictures show, from 0. */
    readonly samChannel: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Finds the cases, their classes, plan and hashes.
   *
   * @param accept may refuse the split by an error, before any volume is read
   * @throws DataError, UsageError
   */
  static async open(
    { data: settings, preprocess }: Pick<Config, "data" | "preprocess">,
    accept: (split: Split) => void,
    signal: AbortSignal | undefined,
  ): Promise<CaseStore> {
    const { labels, ignore, ...dataset } = await openDataset(settings.root, settings.layout, settings.frame);
    const fileLabels = { ...(labels && { labels }), ...(ignore !== undefined && { ignore }) };
    const split = splitCases(dataset, settings);
    accept(split);
    const grids: Grid[] = [];
    if (preprocess.spacing === "median") {
      for (const { image, frame } of [...split.labelled, ...split.unlabelled])
        grids.push(await readGrid(image, frame));
    }
    const named = preprocess.locator === null ? undefined : await openLocator(preprocess.locator, signal);
    const plan = makePlan(preprocess, settings.halve, grids, named?.sha256);
    const relabel = withIgnored(ignore, settings.relabel);
    const { table, segments } = await discoverLabels(split.labelled, relabel);
    const hashes: Record<string, string> = {};
    for (const entry of split.labelled)
      hashes[entry.id] = await hashFiles([...imageFiles(entry), entry.label], signal);
    for (const entry of split.unlabelled) hashes[entry.id] = await hashFiles(imageFiles(entry), signal);
    for (const entry of split.test) {
      // A test case that cannot be read fails later, by itself.
      const files = [...imageFiles(entry), ...(entry.label === undefined ? [] : [entry.label])];
      const hash = await hashFiles(files, signal).catch((error: unknown) => {
        if (error instanceof DataError) return undefined;
        throw error;
      });
      if (hash !== undefined) hashes[entry.id] = hash;
    }
    const said = Object.fromEntries(segments.map(({ id, name }) => [id, name]));
    const names = relabelNames({ ...said, ...labels }, relabel);
    const colors = relabelColors(Object.fromEntries(segments.map(({ id, color }) => [id, color])), relabel);
    const { samChannel } = settings;
    return new CaseStore(split, table, fileLabels, names, colors, hashes, plan, named, samChannel, signal);
  }

  /** Label ids by class, background first. */
  get labelIds(): readonly number[] {
    return this.table.ids;
  }

  /** Ids that count as others. */
  get relabel(): Relabelling {
    return this.table.relabel ?? {};
  }

  /** K, background included. */
  get classes(): number {
    return this.labelIds.length;
  }

  /** The weights file of what the plan crops by. */
  get locatorPath(): string | undefined {
    return this.named?.path;
  }

  /** Hashes of some cases, in their order. */
  hashesOf(cases: readonly { readonly id: string }[]): string[] {
    return cases.map(({ id }) => this.hashes[id] ?? "unreadable");
  }

  /** The labelled training cases with their labels. @throws DataError */
  labelled(): Promise<PreparedCase[]> {
    this.labelledCases ??= this.prepareAll(this.split.labelled, true);
    return this.labelledCases;
  }

  /** The unlabelled training cases; their labels are never opened. @throws DataError */
  unlabelled(): Promise<PreparedCase[]> {
    this.unlabelledCases ??= this.prepareAll(this.split.unlabelled, false);
    return this.unlabelledCases;
  }

  /** Reads one case; the caller disposes its tensors. @throws DataError; CancelledError when the run was stopped */
  async prepare(entry: Case, needLabel: boolean): Promise<PreparedCase> {
    if (this.signal?.aborted)
      throw new CancelledError(`case '${entry.id}': stopped on request before it was read`);
    return prepareCase(entry, {
      needLabel,
      labelIds: needLabel ? this.labelIds : undefined,
      relabel: this.relabel,
      plan: this.plan,
      locate: this.named?.locator.locate,
      samChannel: this.samChannel,
    });
  }

  /** Reads a case with its label as the files have them, but for classes. @throws DataError */
  load(entry: Case): Promise<LoadedCase> {
    return loadCase(entry, this.table);
  }

  /** The training cases that are in memory. */
  async loaded(): Promise<PreparedCase[]> {
    return [...((await this.labelledCases) ?? []), ...((await this.unlabelledCases) ?? [])];
  }

  /** Frees the training cases and what the plan crops by. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const cases of await Promise.allSettled([this.labelledCases, this.unlabelledCases]))
      if (cases.status === "fulfilled") cases.value?.forEach(disposeCase);
    this.named?.locator[Symbol.dispose]();
  }

  private async prepareAll(cases: readonly Case[], needLabel: boolean): Promise<PreparedCase[]> {
    const prepared: PreparedCase[] = [];
    for (const entry of cases) prepared.push(await this.prepare(entry, needLabel));
    return prepared;
  }
}

/** Frees the tensors of a case. */
export function disposeCase(prepared: PreparedCase): void {
  for (const channel of prepared.channels) channel.dispose();
  prepared.label?.dispose();
}
