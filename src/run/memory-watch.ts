/** What a training was expected to need and what it took, counted alike: resident memory of the process, bytes. */
export class MemoryWatch {
  /** What the process holds now and what the training adds. */
  readonly expectedBytes: number;
  private readonly earlierPeak = largestSoFar();
  private largest = process.memoryUsage.rss();

  /** @param addedBytes memory that the training takes in addition to what the process holds now */
  constructor(addedBytes: number) {
    this.expectedBytes = this.largest + addedBytes;
  }

  /** Looks at the memory; the engine keeps that of a step, so that it is still there after the step. */
  look(): void {
    this.largest = Math.max(this.largest, process.memoryUsage.rss());
  }

  /**
   * The largest memory since the training began. Where an earlier stage took more than this training, the system no
   * longer tells the peak: then it is the largest that look() has seen.
   */
  get peakBytes(): number {
    const peak = largestSoFar();
    return peak > this.earlierPeak ? peak : this.largest;
  }
}

function largestSoFar(): number {
  return process.resourceUsage().maxRSS * 1024; // Node reports KiB
}
