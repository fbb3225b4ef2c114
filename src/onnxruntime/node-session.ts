import { Worker } from "node:worker_threads";
import { DeviceError } from "../errors.js";
import { type Port, typedError } from "../native/native.js";
import type { NamedTensors, SessionBackend } from "./session.js";

/** A tensor of a run: the name of its input or output, and the number under which its memory is shared. */
export type SharedTensor = readonly [name: string, number: number];

/** What the worker is told. */
export interface RunRequest {
  readonly inputs: readonly SharedTensor[];
  readonly outputs: readonly SharedTensor[];
}

/** What the worker is made with. */
export interface WorkerSettings {
  readonly model: string;
  readonly threads: number;
  /** One element: 1 while the network is loaded or run; the worker clears it. */
  readonly busy: Int32Array;
}

/** What the worker answers, once when it has loaded the network and once for each run. */
export type WorkerAnswer =
  | { readonly kind: "loaded"; readonly inputs: readonly Port[]; readonly outputs: readonly Port[] }
  | { readonly kind: "done"; readonly seconds: number }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

/** Longest that the end of the process waits for a load or run, milliseconds. */
const longestWait = 120_000;
const workerScript = new URL("./node-session-worker.js", import.meta.url);

/** ONNX Runtime through onnxruntime-node, in a worker thread: its run blocks the thread that calls it. CPU only. */
export class NodeSession implements SessionBackend {
  private pending: { resolve(answer: WorkerAnswer): void; reject(error: unknown): void } | undefined;
  private end: DeviceError | undefined;
  inputs: readonly Port[] = [];
  outputs: readonly Port[] = [];
  busySeconds = 0;
  /** onnxruntime-node aborts the process when its thread is stopped inside a call, so the process must not end before that. */
  private readonly waitForRun = () => {
    Atomics.wait(this.busy, 0, 1, longestWait);
  };

  private constructor(
    private readonly worker: Worker,
    private readonly busy: Int32Array,
  ) {
    process.on("exit", this.waitForRun);
    worker.on("message", (answer: WorkerAnswer) => this.settle(answer));
    worker.on("error", (error) => {
      // Its thread has left whatever it was in; the process may end before the event of its exit.
      this.busy[0] = 0;
      this.close(`"${error.message}"`, error);
    });
    worker.on("exit", (code) => {
      this.close(`its end with code ${code}`);
      this.busy[0] = 0;
      process.off("exit", this.waitForRun);
    });
  }

  /**
   * @param script the worker's program
   * @throws DataError, DeviceError
   */
  static async open(model: string, threads: number, script: URL = workerScript): Promise<NodeSession> {
    const busy = new Int32Array(new SharedArrayBuffer(4)).fill(1);
    const workerData: WorkerSettings = { model, threads, busy };
    const session = new NodeSession(new Worker(script, { workerData, execArgv: [] }), busy);
    try {
      const answer = await session.answer();
      if (answer.kind === "loaded")
        Object.assign(session, { inputs: answer.inputs, outputs: answer.outputs });
      return session;
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  async run(inputs: NamedTensors, outputs: NamedTensors): Promise<void> {
    const share = (tensors: NamedTensors) =>
      Object.entries(tensors).map(([name, tensor]): SharedTensor => [name, tensor.share()]);
    const request: RunRequest = { inputs: share(inputs), outputs: share(outputs) };
    const answer = this.answer();
    this.busy[0] = 1;
    this.worker.postMessage(request);
    const answered = await answer;
    if (answered.kind === "done") this.busySeconds += answered.seconds;
  }

  /** A run of onnxruntime-node cannot be stopped. */
  cancel(): void {}

  /** The worker ends after a run in flight, of which nobody hears any more. */
  dispose(): void {
    this.worker.postMessage("end");
    this.close("a request to end");
  }

  /** The worker's next answer; meanwhile the worker keeps the process alive. */
  private async answer(): Promise<WorkerAnswer> {
    if (this.end !== undefined) throw this.end;
    this.worker.ref();
    const answer = await new Promise<WorkerAnswer>((resolve, reject) => {
      this.pending = { resolve, reject };
    }).finally(() => this.worker.unref());
    if (answer.kind !== "failed") return answer;
    throw typedError(Object.assign(new Error(answer.message), { code: answer.code }));
  }

  private settle(answer: WorkerAnswer): void {
    const { pending } = this;
    this.pending = undefined;
    pending?.resolve(answer);
  }

  private close(received: string, cause?: unknown): void {
    this.end ??= new DeviceError(
      `onnxruntime: expected its worker thread to go on, received ${received}; start again`,
      { cause },
    );
    this.pending?.reject(this.end);
    this.pending = undefined;
  }
}
