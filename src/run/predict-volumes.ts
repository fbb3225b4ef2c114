import type { Voxels } from "../config/schema.js";
import type { Case } from "../data/cases.js";
import { prepareCase } from "../data/prepare.js";
import { namingFile } from "../error-text.js";
import { DataError } from "../errors.js";
import { Segmenter } from "../predict/segmenter.js";
import { disposeCase } from "./case-store.js";
import { type ModelCard, readModelCard } from "./model-card.js";
import { writeClasses } from "./training-stages.js";

/** A segmenter of a run that labels files. */
export class VolumePredictor implements Disposable {
  private constructor(
    private readonly segmenter: Segmenter,
    private readonly card: ModelCard,
    private readonly stride: Voxels | null,
  ) {}

  /** @throws DataError when the file is no segmenter of this program */
  static async load(weightsPath: string, stride: Voxels | null): Promise<VolumePredictor> {
    const card = await readModelCard(weightsPath);
    const segmenter = await namingFile(weightsPath, Segmenter.load(weightsPath));
    if (segmenter.classes !== card.labelIds.length) {
      segmenter.dispose();
      throw new DataError(
        `${weightsPath}: expected ${segmenter.classes} label ids, received ${card.labelIds.length}; train it again`,
      );
    }
    return new VolumePredictor(segmenter, card, stride);
  }

  /**
   * Labels a volume and writes the original ids on its grid (half of it when the segmenter was trained so), atomically.
   *
   * @throws DataError when the volume cannot be read or the file cannot be written
   */
  async label(entry: Case, path: string, signal?: AbortSignal): Promise<void> {
    const prepared = await prepareCase(entry, {
      needLabel: false,
      labelIds: undefined,
      halve: this.card.halve,
    });
    try {
      using labels = await this.segmenter.predict(
        prepared.image,
        this.stride,
        signal === undefined ? {} : { signal },
      );
      await writeClasses(path, labels.u8, prepared, this.card.labelIds);
    } finally {
      disposeCase(prepared);
    }
  }

  [Symbol.dispose](): void {
    this.segmenter.dispose();
  }
}
