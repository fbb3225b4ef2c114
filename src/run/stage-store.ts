import { existsSync, readFileSync } from "node:fs";
import { link, lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { z } from "zod";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { type RunEvent, readEvents } from "../io/event-log.js";
import { jsonOf } from "../io/tensor-file.js";
import type { RunContext, StageSpec } from "./stage.js";

/**
 * Finished stages that several runs share. A run that needs one gets its files as hard links: no file of a finished
 * stage is ever written again, only replaced.
 */
export interface StageStore {
  /** Folder with a folder per stage; on the file system of the runs. */
  readonly folder: string;
  /** Runs `work` once no other run works under this name. @throws CancelledError while it waits */
  alone(name: string, work: () => Promise<void>): Promise<void>;
}

/** What a stage's folder says of it beside its files and events: the seconds it took, the run folder it is from. */
const storedSchema = z.object({ wallSeconds: z.number().min(0), from: z.string() });

/** Name of a stage in the store: equal names have equal files. */
export function storedName({ name, key }: StageSpec): string {
  return `${name.replaceAll("/", "_")}-${key}`;
}

/**
 * Gives a run the files, events and time of a stage that another run has finished.
 *
 * @returns false when the store has none
 * @throws DataError when the store is damaged or files cannot be linked
 */
export async function takeStage(store: StageStore, context: RunContext, stage: StageSpec): Promise<boolean> {
  const { folder, progress } = context;
  const entry = join(store.folder, storedName(stage));
  if (!existsSync(entry)) return false;
  const { wallSeconds, from } = readStored(entry);
  for (const path of stage.owns) await rm(path, { recursive: true, force: true });
  for (const file of await filesBelow(join(entry, "files")))
    await linkFile(join(entry, "files", file), folder.file(file));
  const { event, arm } = eventsOf(context, stage);
  await folder.dropEventsAfter(event, 0, arm);
  for (const line of readEvents(join(entry, "events.jsonl"))) folder.event(line);
  await folder.adoptStage({ name: stage.name, key: stage.key, status: "done", wallSeconds });
  progress.note(`${stage.name}: taken from ${from}`, "info");
  return true;
}

/**
 * Puts what a stage has just left into the store, in one step.
 *
 * @param wallSeconds time that it took over all starts
 * @throws DataError when files cannot be linked
 */
export async function putStage(
  store: StageStore,
  context: RunContext,
  stage: StageSpec,
  wallSeconds: number,
): Promise<void> {
  const { folder } = context;
  const entry = join(store.folder, storedName(stage));
  const making = `${entry}.tmp`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true });
  for (const owned of stage.owns) {
    for (const file of await filesBelow(owned)) {
      const path = join(owned, file);
      await linkFile(path, join(making, "files", relative(folder.path, path)));
    }
  }
  const { event, arm } = eventsOf(context, stage);
  const isOwn = (line: RunEvent) => line.stage === event && line.arm === arm;
  const lines = folder.events().filter(isOwn);
  await writeFileAtomic(
    join(making, "events.jsonl"),
    lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
  );
  const stored: z.infer<typeof storedSchema> = { wallSeconds, from: folder.path };
  await writeFileAtomic(join(making, "stage.json"), `${JSON.stringify(stored)}\n`);
  await rename(making, entry);
}

/** How the events of a stage are named: `retrain/<folder>` is the stage `retrain` of the arm with that folder. */
function eventsOf({ arms }: RunContext, { name }: StageSpec): { event: string; arm: string | undefined } {
  const [event = "", folder] = name.split("/");
  return { event, arm: arms.find((arm) => arm.folder === folder)?.name };
}

function readStored(entry: string): z.infer<typeof storedSchema> {
  const path = join(entry, "stage.json");
  const stored = storedSchema.safeParse(existsSync(path) ? jsonOf(readFileSync(path, "utf8")) : null);
  if (stored.success) return stored.data;
  throw new DataError(
    `${path}: expected the record of a shared stage, received another content; remove ${entry} to compute it again`,
  );
}

/** Files of a folder and those below it, relative to it; `""` for a path that is a file, none where nothing is. */
async function filesBelow(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  if (!(await lstat(path)).isDirectory()) return [""];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(path, join(parentPath, name)));
}

async function linkFile(from: string, to: string): Promise<void> {
  try {
    await mkdir(dirname(to), { recursive: true });
    await rm(to, { force: true });
    await link(from, to);
  } catch (error) {
    throw new DataError(
      `${to}: expected to link ${from}, received ${String(error)}; keep the sweep on one file system that has hard links`,
      { cause: error },
    );
  }
}
