import { access } from "node:fs/promises";
import { CancelledError, DataError, DisposedError, DtypeError, ShapeError, UsageError } from "../errors.js";
import type { CudaSettings, Port } from "../native/native.js";
import type { Tensor } from "../native/tensor.js";
import { CSession } from "./c-session.js";
import { NodeSession } from "./node-session.js";
import type { OnnxRuntime } from "./runtime.js";

/** Tensors by the names of inputs or outputs. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

export interface OnnxSessionOptions {
  readonly runtime: OnnxRuntime;
  /** Threads of ONNX Runtime's own pool. */
  readonly threads: number;
  /** Absent: the CPU. Only through the C interface. */
  readonly cuda?: CudaSettings;
}

/** One of the two ways into ONNX Runtime. Tensors are read and written in place. */
export interface SessionBackend {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  run(inputs: NamedTensors, outputs: NamedTensors): Promise<void>;
  /** Seconds of all runs that succeeded, in the library alone. */
  readonly busySeconds: number;
  /** Asks the run in flight to end early; some cannot. */
  cancel(): void;
  dispose(): void;
}

/** A network of an ONNX file in ONNX Runtime; what it reads and writes is the tensors' own memory. */
export class OnnxSession implements Disposable {
  private running = false;
  private disposed = false;

  private constructor(
    /** Path of the file. */
    readonly model: string,
    private readonly backend: SessionBackend,
  ) {}

  /**
   * Loads a network. Throws DataError when the file is missing or no valid network, DeviceError when the device or memory
   * cannot be had.
   */
  static async open(model: string, options: OnnxSessionOptions): Promise<OnnxSession> {
    const { runtime, threads, cuda } = options;
    await requireFile(model);
    if (runtime.through === "c")
      return new OnnxSession(model, await CSession.open(model, runtime.library, threads, cuda));
    if (cuda !== undefined)
      throw new UsageError(
        `onnxruntime: expected a tested version for CUDA, received ${runtime.version}; use --device cpu`,
      );
    return new OnnxSession(model, await NodeSession.open(model, threads));
  }

  get inputs(): readonly Port[] {
    return this.backend.inputs;
  }

  get outputs(): readonly Port[] {
    return this.backend.outputs;
  }

  /** Seconds of all runs that succeeded, in ONNX Runtime alone. */
  get busySeconds(): number {
    return this.backend.busySeconds;
  }

  /**
   * Runs the network on all of its inputs, one run at a time. An aborted `signal` stops it with CancelledError.
   *
   * @param outputs what to compute; other outputs are left out
   * @throws DataError for names that the file does not have and when the network fails, ShapeError, DtypeError,
   *   DisposedError after or during dispose(), UsageError while another run is in flight
   */
  async run(inputs: NamedTensors, outputs: NamedTensors, signal?: AbortSignal): Promise<void> {
    if (this.disposed) throw this.disposedError();
    if (this.running)
      throw new UsageError(
        `${this.model}: expected the session to be idle, received a second run; await the first`,
      );
    for (const { name } of this.inputs)
      if (inputs[name] === undefined)
        throw new DataError(`${this.model}: expected a tensor for its input '${name}', received none`);
    this.checkTensors("input", this.inputs, inputs);
    this.checkTensors("output", this.outputs, outputs);
    if (signal?.aborted) throw this.stopped();
    const cancel = () => this.backend.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    this.running = true;
    try {
      await this.backend.run(inputs, outputs);
    } catch (error) {
      throw this.disposed ? this.disposedError(error) : error;
    } finally {
      this.running = false;
      signal?.removeEventListener("abort", cancel);
    }
    if (signal?.aborted) throw this.stopped();
  }

  private checkTensors(kind: "input" | "output", ports: readonly Port[], tensors: NamedTensors): void {
    for (const [name, { dtype, shape }] of Object.entries(tensors)) {
      const port = ports.find((candidate) => candidate.name === name);
      if (port === undefined) {
        const names = ports.map((candidate) => candidate.name).join(", ");
        throw new DataError(
          `${this.model}: expected one of ${names} for an ${kind}, received '${name}'; export the network again`,
        );
      }
      const where = `${this.model}: expected ${port.dtype} [${port.shape.join(", ")}] for ${kind} '${name}'`;
      if (port.dtype !== dtype) throw new DtypeError(`${where}, received ${dtype}`);
      const fits =
        shape.length === port.shape.length &&
        port.shape.every((extent, axis) => extent === -1 || extent === shape[axis]);
      if (!fits) throw new ShapeError(`${where}, received [${shape.join(", ")}]`);
    }
  }

  private stopped(): CancelledError {
    return new CancelledError(`${this.model}: stopped on request`);
  }

  private disposedError(cause?: unknown): DisposedError {
    return new DisposedError(`${this.model}: expected a live session, received one that was disposed`, {
      cause,
    });
  }

  /** Ends the session; a run in flight is stopped, or ends unseen where it cannot be stopped. Idempotent. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.backend.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

async function requireFile(path: string): Promise<void> {
  try {
    await access(path);
  } catch (error) {
    throw new DataError(`${path}: expected an ONNX file, received nothing at this path; correct the path`, {
      cause: error,
    });
  }
}
