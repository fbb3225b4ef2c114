import type { WindowModel } from "../predict/window-model.js";

/** How long a network's engine had work to do, and worked. */
export interface EngineTimes {
  /** From the beginning of the first case's windows to the end of the last one's, seconds. */
  readonly inferring: number;
  /** How long of that the engine worked, seconds. */
  readonly busy: number;
}

/**
 * Measures the share of the time in which an engine works, from the first window to the last: before and after there is
 * nothing for it to do, as a volume has to be read and another written.
 */
export class EngineShare {
  private first: EngineTimes | undefined;
  private last: EngineTimes | undefined;

  constructor(private readonly network: Pick<WindowModel, "busySeconds">) {}

  /** To be called when the windows of a case begin. */
  begin(): void {
    this.first ??= this.now();
  }

  /** To be called when they have ended. */
  end(): void {
    this.last = this.now();
  }

  total(): EngineTimes {
    const { first, last } = this;
    if (first === undefined || last === undefined) return { inferring: 0, busy: 0 };
    return { inferring: last.inferring - first.inferring, busy: last.busy - first.busy };
  }

  private now(): EngineTimes {
    return { inferring: performance.now() / 1000, busy: this.network.busySeconds };
  }
}
