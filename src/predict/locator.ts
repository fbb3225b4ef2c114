import { boxInFile } from "../data/case-geometry.js";
import { type Locate, type PrepareOptions, prepareChannels } from "../data/prepare.js";
import { boxAbove } from "../data/preprocessing-plan.js";
import { slidingWindow } from "./sliding-window.js";
import type { WindowModel } from "./window-model.js";

/**
 * A segmenter, as a rule one of coarse spacing, that looks at whole volumes and says where to crop for a finer network.
 * It sees the image alone: a crop by it knows nothing of a label.
 */
export class Locator implements Disposable {
  /**
   * @param network of any classes; all but the background are looked for. It ends with this
   * @param preparation how volumes are prepared for it
   */
  constructor(
    private readonly network: WindowModel,
    private readonly preparation: Pick<PrepareOptions, "plan" | "samChannel">,
    private readonly signal?: AbortSignal,
  ) {}

  /** Memory that its first volume takes in addition to what the process holds now, bytes. */
  get addedBytes(): number {
    return this.network.addedBytes;
  }

  /** The box around all foreground of an image. @throws DataError as prepareChannels; CancelledError */
  readonly locate: Locate = async (volumes, entry) => {
    const { channels, geometry } = await prepareChannels(entry, volumes, this.preparation);
    try {
      using found = await slidingWindow(channels, this.network, { signal: this.signal });
      const box = boxAbove(found.labels.u8, geometry.shape, 0);
      return box && boxInFile(box, geometry);
    } finally {
      for (const channel of channels) channel.dispose();
    }
  };

  [Symbol.dispose](): void {
    this.network[Symbol.dispose]();
  }
}
