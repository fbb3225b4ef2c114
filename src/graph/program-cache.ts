import type { Program } from "./graph.js";

/**
 * Compiled one-node graphs by shape, for work outside a training step (crops, resampling, metrics). Keeps the most
 * recently used ones; their outputs are overwritten by the next run with the same key.
 */
export class ProgramCache implements Disposable {
  private readonly programs = new Map<string, Program>();

  /** `capacity`: programs kept. */
  constructor(private readonly capacity = 64) {}

  /** The program of `key`, built when it is not there. */
  get<Names extends string>(key: string, build: () => Program<Names>): Program<Names> {
    const known = this.programs.get(key);
    if (known !== undefined) {
      this.programs.delete(key);
      this.programs.set(key, known);
      return known as unknown as Program<Names>;
    }
    const program = build();
    this.programs.set(key, program as unknown as Program);
    for (const [oldest, evicted] of this.programs) {
      if (this.programs.size <= this.capacity) break;
      this.programs.delete(oldest);
      evicted.dispose();
    }
    return program;
  }

  dispose(): void {
    for (const program of this.programs.values()) program.dispose();
    this.programs.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
