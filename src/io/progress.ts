import type { Logger } from "pino";

/** Where progress goes and how. */
export interface ProgressOptions {
  /** Default: standard error. */
  readonly stream?: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  /** Writes problems only. */
  readonly quiet?: boolean;
  /** Gets everything that is told as records, quiet or not. */
  readonly log?: Pick<Logger, "info" | "warn" | "error">;
  /** Seconds between plain lines when the stream is no terminal. */
  readonly intervalSeconds?: number;
  /** Environment; `NO_COLOR` (any value but the empty one) switches colours off. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Seconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** Speed and time left of one stage, from the last half minute or so. */
interface Pace {
  readonly perSecond: number;
  readonly secondsLeft: number;
}

/** Steps within this many seconds count for the rate. */
const windowSeconds = 30;
/** Terminals get a new line at most this often, in seconds. */
const terminalInterval = 0.1;
/** A log gets a line at most this often, in seconds: a day's work then stays below 3000 lines. */
const logInterval = 30;

/**
 * What a command tells while it works, on standard error and in the log: progress, as one line that rewrites itself on a
 * terminal, otherwise as a plain line every five seconds, so that logs of jobs stay readable; notes and problems between.
 * Standard output is never touched.
 */
export class Progress {
  private label = "";
  private total = 0;
  private unit = "steps";
  private history: { readonly time: number; readonly step: number }[] = [];
  private lastWrite = Number.NEGATIVE_INFINITY;
  private lastLog = Number.NEGATIVE_INFINITY;
  private isLineOpen = false;
  private readonly stream: NonNullable<ProgressOptions["stream"]>;
  private readonly quiet: boolean;
  private readonly log: ProgressOptions["log"];
  private readonly intervalSeconds: number;
  private readonly hasColors: boolean;
  private readonly now: () => number;

  constructor(options: ProgressOptions = {}) {
    this.stream = options.stream ?? process.stderr;
    this.quiet = options.quiet ?? false;
    this.log = options.log;
    this.intervalSeconds = options.intervalSeconds ?? 5;
    this.now = options.now ?? (() => performance.now() / 1000);
    const env = options.env ?? process.env;
    this.hasColors = this.stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  }

  /**
   * Begins a stage.
   *
   * @param done steps that an earlier start has made already
   * @param unit what is counted, in the plural: `steps`, `cases`
   */
  begin(label: string, total: number, done = 0, unit = "steps"): void {
    this.endLine();
    this.label = label;
    this.total = total;
    this.unit = unit;
    this.history = [{ time: this.now(), step: done }];
    // A short stage then needs no plain line but its last one.
    this.lastWrite = this.now();
    this.lastLog = this.lastWrite;
    this.log?.info({ event: "begin", stage: label, step: done, total, unit }, `${label}: begins`);
  }

  /**
   * Reports the number of steps done.
   *
   * @param detail short text for the end of the line, such as `loss 0.412`
   * @returns expected seconds to the end of the stage; null while nothing is known
   */
  update(step: number, detail = ""): number | null {
    const time = this.now();
    this.history.push({ time, step });
    // The first one is kept as the far end of the window.
    while (this.history.length > 2 && (this.history[1]?.time ?? time) < time - windowSeconds) {
      this.history.shift();
    }
    const pace = this.pace();
    const interval = this.stream.isTTY === true ? terminalInterval : this.intervalSeconds;
    if (time - this.lastWrite >= interval) {
      this.write(this.line(step, pace, detail), time);
    }
    if (time - this.lastLog >= logInterval) {
      this.lastLog = time;
      const { label: stage, total, unit } = this;
      const record = { event: "progress", stage, step, total, unit, secondsLeft: pace?.secondsLeft };
      this.log?.info(record, this.line(step, pace, detail));
    }
    return pace === undefined ? null : pace.secondsLeft;
  }

  /** Ends the stage with a line that stays, with the time it took in seconds. */
  end(seconds: number, detail = ""): void {
    const text = [`${this.label}: done in ${formatDuration(seconds)}`, detail].filter((part) => part !== "");
    this.write(text.join("  "), this.now());
    this.endLine();
    this.log?.info({ event: "end", stage: this.label, seconds }, text.join("  "));
  }

  /** Writes a line that stays, between progress lines. */
  note(text: string, level: "info" | "warn" = "warn"): void {
    if (!this.quiet) {
      this.clearLine();
      this.stream.write(`${text}\n`);
    }
    this.log?.[level]({ event: "note" }, text);
  }

  /**
   * Writes a line that stays, quiet or not: something has gone wrong, or the work is being stopped.
   *
   * @param error what ends the work; the log gets its stack
   */
  problem(text: string, error?: unknown): void {
    this.endLine();
    this.stream.write(`sfr: ${text}\n`);
    if (error === undefined) this.log?.warn({ event: "problem" }, text);
    else this.log?.error({ event: "error", err: error }, text);
  }

  /** Ends a line that is being rewritten, so that other text can follow it. */
  endLine(): void {
    if (this.isLineOpen) {
      this.stream.write("\n");
      this.isLineOpen = false;
    }
  }

  private pace(): Pace | undefined {
    const [first, last] = [this.history[0], this.history.at(-1)];
    if (first === undefined || last === undefined || last.step <= first.step || last.time <= first.time) {
      return undefined;
    }
    const perSecond = (last.step - first.step) / (last.time - first.time);
    return { perSecond, secondsLeft: Math.max(0, this.total - last.step) / perSecond };
  }

  private line(step: number, pace: Pace | undefined, detail: string): string {
    const percent = this.total > 0 ? Math.floor((100 * step) / this.total) : 100;
    const parts = [`${this.label}: ${step}/${this.total} ${this.unit}`, `${percent} %`];
    if (pace !== undefined) {
      parts.push(formatRate(pace.perSecond, this.unit), `${formatDuration(pace.secondsLeft)} left`);
    }
    return [...parts, detail].filter((part) => part !== "").join("  ");
  }

  private write(text: string, time: number): void {
    this.lastWrite = time;
    if (this.quiet) {
      return;
    }
    if (this.stream.isTTY !== true) {
      this.stream.write(`${text}\n`);
      return;
    }
    this.clearLine();
    // A line that wraps could not be rewritten.
    const shown = text.slice(0, Math.max(20, (this.stream.columns ?? 80) - 1));
    const name = shown.slice(0, this.label.length);
    this.stream.write(this.hasColors ? `\u001b[1m${name}\u001b[0m${shown.slice(name.length)}` : shown);
    this.isLineOpen = true;
  }

  private clearLine(): void {
    if (this.isLineOpen) {
      this.stream.write("\r\u001b[K");
      this.isLineOpen = false;
    }
  }
}

/** Seconds in words: `8.4 s`, `2 min 35 s`, `3 h 07 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const two = (value: number) => value.toString().padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return `${minutes} min ${two(whole % 60)} s`;
  }
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** Slow work is easier to read the other way round. */
function formatRate(perSecond: number, unit: string): string {
  const one = unit.replace(/s$/, "");
  return perSecond >= 1 ? `${perSecond.toFixed(1)} ${unit}/s` : `${(1 / perSecond).toFixed(1)} s/${one}`;
}
