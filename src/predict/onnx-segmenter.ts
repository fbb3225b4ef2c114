import type { Voxels } from "../config/schema.js";
import { Tensor } from "../native/tensor.js";
import { channelsFirst, channelsLast } from "../onnxruntime/channels.js";
import type { OnnxSession } from "../onnxruntime/session.js";
import type { SegmenterMetadata } from "./segmenter.js";
import type { WindowModel } from "./window-model.js";
import { quarterStride } from "./windows.js";

/** A segmenter in ONNX Runtime, from a file of `sfr export`. */
export class OnnxSegmenter implements WindowModel {
  readonly channels: number;
  readonly classes: number;
  readonly patch: Voxels;
  private readonly input: Tensor;
  private readonly output: Tensor;
  private readonly result: Tensor;

  /**
   * @param session of the file, which ends with this
   * @param addedBytes what the session will take of memory when it first runs, bytes
   */
  constructor(
    private readonly session: OnnxSession,
    { classes, channels, patch }: Pick<SegmenterMetadata, "classes" | "channels" | "patch">,
    readonly addedBytes: number,
  ) {
    const [x, y, z] = patch;
    this.classes = classes;
    this.channels = channels;
    this.patch = patch;
    this.input = Tensor.zeros("f32", [1, channels, z, y, x]);
    this.output = Tensor.zeros("f32", [1, classes, z, y, x]);
    this.result = Tensor.zeros("f32", [1, z, y, x, classes]);
  }

  get usualStride(): Voxels {
    return quarterStride(this.patch);
  }

  /** Of ONNX Runtime alone. */
  get busySeconds(): number {
    return this.session.busySeconds;
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    channelsFirst(window, this.input);
    await this.session.run({ patch: this.input }, { logits: this.output }, signal);
    channelsLast(this.output, this.result);
    return this.result;
  }

  [Symbol.dispose](): void {
    this.session.dispose();
    for (const tensor of [this.input, this.output, this.result]) tensor.dispose();
  }
}
