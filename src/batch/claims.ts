import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DataError } from "../errors.js";
import { jsonOf } from "../io/tensor-file.js";
import { processStart } from "../run/folder-lock.js";

/** A holder elsewhere touches its claims this often, milliseconds. */
const heartbeat = 20_000;
/** A claim from elsewhere is dead when it was not touched for so long, milliseconds of the looker's own clock. */
const patience = 6 * heartbeat;

const holderSchema = z.object({ place: z.string(), pid: z.int(), started: z.string() });

/** Processes of one place see each other's ids: one boot of one machine, one namespace of process ids. */
const place = `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
const self: z.infer<typeof holderSchema> = {
  place,
  pid: process.pid,
  started: processStart(process.pid) ?? "",
};

/** The right to work on something, until it is released or its process ends. */
export interface Claim {
  /** Whether nobody has taken it over, as happens to a process that stood still for minutes. */
  isOurs(): Promise<boolean>;
  /** Gives it free; does nothing the second time. */
  release(): Promise<void>;
}

/**
 * Claims of a folder that several processes and machines share. A claim on `name` is the file `<name>.<n>`, which a hard
 * link makes in one step; who finds its holder dead takes over by making `<name>.<n + 1>`. No process ever removes a
 * claim that may belong to a living one.
 */
export class Claims implements Disposable {
  private readonly held = new Set<string>();
  /** Claims of other places: their time stamp, and since when on our clock it has been so. */
  private readonly seen = new Map<string, { readonly touched: number; readonly since: number }>();
  private readonly timer: NodeJS.Timeout;

  private constructor(private readonly folder: string) {
    this.timer = setInterval(() => this.touch(), heartbeat).unref();
  }

  /** Makes the folder. @throws DataError when that is not possible */
  static async open(folder: string): Promise<Claims> {
    try {
      await mkdir(folder, { recursive: true });
    } catch (error) {
      throw new DataError(
        `${folder}: expected to make this folder, received ${String(error)}; check the path`,
        {
          cause: error,
        },
      );
    }
    return new Claims(folder);
  }

  /** @returns the claim, or undefined when a living process has it. @throws DataError when it cannot be written */
  async take(name: string): Promise<Claim | undefined> {
    const last = await this.last(name);
    if (last > 0 && !(await this.isDead(`${name}.${last}`))) return undefined;
    const number = last + 1;
    const path = join(this.folder, `${name}.${number}`);
    if (!(await this.create(path))) return undefined;
    this.held.add(path);
    let isReleased = false;
    return {
      isOurs: async () => (await this.last(name)) === number,
      release: async () => {
        // Once only: the next one of this number would be another's.
        if (isReleased) return;
        isReleased = true;
        this.held.delete(path);
        // Those of the dead first, so that nobody finds one of them alone.
        for (let n = 1; n <= number; n++) await rm(join(this.folder, `${name}.${n}`), { force: true });
      },
    };
  }

  /** Removes what the dead have left of cases that nobody will take any more. */
  async sweep(): Promise<void> {
    // Hidden ones are claims in the making.
    const files = (await readdir(this.folder)).filter((file) => !file.startsWith("."));
    const names = files.map((file) => file.slice(0, file.lastIndexOf(".")));
    for (const name of new Set(names)) await (await this.take(name))?.release();
  }

  /** The highest number among the claims on `name`; 0 when there is none. */
  private async last(name: string): Promise<number> {
    const numbers = (await readdir(this.folder)).flatMap((file) => {
      const dot = file.lastIndexOf(".");
      return file.slice(0, dot) === name ? [Number(file.slice(dot + 1))] : [];
    });
    return Math.max(0, ...numbers.filter(Number.isSafeInteger));
  }

  /** Makes a claim file with its content in one step. @returns false when another process was first */
  private async create(path: string): Promise<boolean> {
    const own = join(this.folder, `.${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
    try {
      await writeFile(own, JSON.stringify(self), { flag: "wx" });
      await link(own, path);
      return true;
    } catch (error) {
      // On a network drive the answer to a link that was made can get lost, and the second try then finds it there.
      if (error instanceof Error && "code" in error && error.code === "EEXIST")
        return (await stat(own)).nlink === 2;
      throw new DataError(`${path}: expected to write a claim, received ${String(error)}; check the folder`, {
        cause: error,
      });
    } finally {
      await rm(own, { force: true });
    }
  }

  private async isDead(file: string): Promise<boolean> {
    const path = join(this.folder, file);
    const text = await readFile(path, "utf8").catch(() => undefined);
    // Released in this moment: the next look finds it free.
    if (text === undefined) return false;
    const holder = holderSchema.safeParse(jsonOf(text)).data;
    if (holder?.place === place) return processStart(holder.pid) !== holder.started;
    const touched = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    const before = this.seen.get(file);
    if (before?.touched === touched) return performance.now() - before.since > patience;
    this.seen.set(file, { touched, since: performance.now() });
    return false;
  }

  private touch(): void {
    const now = new Date();
    for (const path of this.held) void utimes(path, now, now).catch(() => undefined);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }
}
