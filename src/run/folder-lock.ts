import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DataError, UsageError } from "../errors.js";

/** Who holds a folder. */
interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** Start of the process in clock ticks since boot, so that a process id given out again is told apart. */
  readonly started: string;
}

/**
 * The right to write a folder, as the file `lock` in it. It is never there without its content, and a lock whose
 * process has ended (killed, or the machine restarted) is taken over.
 */
export class FolderLock {
  private constructor(
    private readonly path: string,
    private readonly content: string,
  ) {}

  /**
   * @throws UsageError when a living process holds the folder, or one on another machine might
   * @throws DataError when the folder cannot be written
   */
  static acquire(folder: string): FolderLock {
    const path = join(folder, "lock");
    const holder: LockHolder = {
      pid: process.pid,
      host: hostname(),
      started: processStart(process.pid) ?? "",
    };
    const content = `${JSON.stringify(holder)}\n`;
    const own = join(folder, `.lock.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
    try {
      writeFileSync(own, content, { flag: "wx", flush: true });
      // A hard link appears with its content or not at all, and only where no file was.
      while (!tryLink(own, path)) {
        setAsideStale(folder, path);
      }
      return new FolderLock(path, content);
    } catch (error) {
      if (error instanceof UsageError) {
        throw error;
      }
      throw new DataError(
        `run folder: expected to write ${path}, received ${String(error)}; check the folder`,
        {
          cause: error,
        },
      );
    } finally {
      rmSync(own, { force: true });
    }
  }

  /** Gives the folder free; does nothing when the lock is no longer ours. */
  release(): void {
    if (readIfThere(this.path) === this.content) {
      unlinkSync(this.path);
    }
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") {
      return false;
    }
    throw error;
  }
}

/** Removes the lock at `path` when its holder is dead, and throws when it is not. */
function setAsideStale(folder: string, path: string): void {
  const content = readIfThere(path);
  if (content === undefined) {
    return;
  }
  const holder = parse(content);
  if (holder === undefined || holder.host !== hostname() || isAlive(holder)) {
    const who = holder === undefined ? "an unreadable lock" : `process ${holder.pid} on ${holder.host}`;
    throw new UsageError(
      `run folder: expected ${folder} to be free, received ${who} holding it; ` +
        `wait for it or choose another folder (remove ${path} only if no process writes there)`,
    );
  }
  // Two processes may find the same dead holder. Only one of them can move the file away; a lock that was taken
  // in between is put back.
  const aside = join(folder, `.lock.stale.${process.pid}.tmp`);
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === "ENOENT") {
      return;
    }
    throw error;
  }
  if (readIfThere(aside) !== content) {
    tryLink(aside, path);
  }
  rmSync(aside, { force: true });
}

function isAlive(holder: LockHolder): boolean {
  const started = processStart(holder.pid);
  return started !== undefined && (holder.started === "" || started === holder.started);
}

/**
 * When a process began, in clock ticks since boot: field 22 of /proc/PID/stat. Undefined when there is no such process,
 * or one that has ended (state Z or X).
 */
export function processStart(pid: number): string | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  // The name before it may hold spaces and parentheses. The first field here is field 3, the state.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A killed process stays as a zombie until its parent asks how it ended; it writes nothing any more.
  return /^[ZX]/i.test(fields?.[0] ?? "X") ? undefined : fields?.[19];
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ESRCH") {
      return undefined;
    }
    throw error;
  }
}

function parse(content: string): LockHolder | undefined {
  try {
    const { pid, host, started } = JSON.parse(content);
    const isHolder = Number.isSafeInteger(pid) && typeof host === "string" && typeof started === "string";
    return isHolder ? { pid, host, started } : undefined;
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
