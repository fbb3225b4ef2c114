import { RandomStream } from "../graph/random.js";

/**
 * An endless chain of random permutations of n items, cut into batches; entry i depends on (seed, name, i) alone, so a
 * resumed run draws the same ones. `wholeBatches` drops the remainder of each permutation, as the two-stream sampler of
 * semi-supervised training does for labelled cases; with fewer items than a batch, items repeat.
 */
export class BatchSampler {
  private epoch = -1;
  private order: number[] = [];

  constructor(
    private readonly items: number,
    private readonly batch: number,
    private readonly seed: number,
    private readonly name: string,
    private readonly wholeBatches: boolean,
  ) {}

  /** Item indices of step t (0-based). */
  at(t: number): number[] {
    const perEpoch =
      this.wholeBatches && this.items >= this.batch
        ? Math.floor(this.items / this.batch) * this.batch
        : this.items;
    return Array.from({ length: this.batch }, (_, i) => {
      const position = t * this.batch + i;
      return this.permutation(Math.floor(position / perEpoch))[position % perEpoch] ?? 0;
    });
  }

  private permutation(epoch: number): number[] {
    if (epoch !== this.epoch) {
      this.order = new RandomStream(this.seed, epoch, `sampler/${this.name}`).permutation(this.items);
      this.epoch = epoch;
    }
    return this.order;
  }
}
