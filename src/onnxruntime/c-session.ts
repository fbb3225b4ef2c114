import {
  type CudaSettings,
  callNative,
  type NativeOnnxSession,
  native,
  typedError,
} from "../native/native.js";
import type { NamedTensors, SessionBackend } from "./session.js";

/** ONNX Runtime through its C interface: tensors bound as inputs and outputs, run on a native thread of the session's own. */
export class CSession implements SessionBackend {
  readonly inputs;
  readonly outputs;

  private constructor(private readonly session: NativeOnnxSession) {
    this.inputs = session.inputs();
    this.outputs = session.outputs();
  }

  /** Throws DataError, DeviceError. */
  static async open(
    model: string,
    library: string,
    threads: number,
    cuda: CudaSettings | undefined,
  ): Promise<CSession> {
    const session = new native.OnnxSession();
    const settings = { model, library, threads, ...(cuda === undefined ? {} : { cuda }) };
    await typed(() => session.load(settings));
    return new CSession(session);
  }

  run(inputs: NamedTensors, outputs: NamedTensors): Promise<void> {
    const handles = (tensors: NamedTensors) => Object.values(tensors).map(({ handle }) => handle);
    return typed(() =>
      this.session.run(Object.keys(inputs), handles(inputs), Object.keys(outputs), handles(outputs)),
    );
  }

  get busySeconds(): number {
    return callNative(() => this.session.busySeconds());
  }

  cancel(): void {
    callNative(() => this.session.cancel());
  }

  dispose(): void {
    this.session.dispose();
  }
}

async function typed(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    throw typedError(error);
  }
}
