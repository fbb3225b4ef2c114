import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  CancelledError,
  DataError,
  DeviceError,
  DisposedError,
  DtypeError,
  SfrError,
  ShapeError,
  UsageError,
} from "../errors.js";

/** Element types of tensors; equal to cpp/core/dtype.h. */
export type Dtype = "f32" | "f64" | "i32" | "u8" | "u16" | "bf16";

/** What weights and kept values may be: f32, or its upper half. */
export type Precision = Extract<Dtype, "f32" | "bf16">;

/** Where a tensor's memory is and its kernels run. */
export type Device = "cpu";

/** Typed array that shows a tensor's memory; of bf16 its 16 bits. */
export type TensorData =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>;

/** An attribute of a node as it crosses the border. */
export type Attribute = number | boolean | string | readonly number[];

/** What the addon exports; binding/addon.cc is its other side. */
export interface NativeModule {
  Tensor: {
    new (dtype: Dtype, shape: readonly number[]): NativeTensor;
    open(number: number): NativeTensor;
  };
  Graph: new () => NativeGraph;
  OnnxSession: new () => NativeOnnxSession;
  onnxRuntimeInfo(path: string, cudaDevice?: number): OnnxRuntimeInfo;
  engineInfo(): EngineInfo;
  configureEngine(options: EngineOptions): void;
}

export interface NativeTensor {
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly device: Device;
  readonly disposed: boolean;
  data(): TensorData;
  fillFromFile(path: string, offset: number): void;
  share(): number;
  dispose(): void;
}

/** What configureEngine() sets; absent: stays as it is. */
export interface EngineOptions {
  threads?: number;
  simd?: string;
  /** Bytes that the process should fit while it runs a program compiled from now on; 0: no limit. */
  memoryBytes?: number;
  /** What programs run on that are compiled with `onDevice` from now on; null: the CPU. */
  cuda?: CudaDevice | null;
}

/** A device of libsfr_cuda. */
export interface CudaDevice {
  /** Path of the library. */
  readonly library: string;
  readonly ordinal: number;
  /** Most of its memory to use; 0: nine tenths of what is free. */
  readonly memoryBytes: number;
}

/** How a graph is compiled; see Graph.compile. */
export interface CompileOptions {
  fuse?: boolean;
  keepBf16?: boolean;
  guards?: boolean;
  /** Stores activations as bf16 on a device; without one nothing changes. */
  bf16Activations?: boolean;
  /** Runs where configureEngine's `cuda` says; state stays with its tensors, which fetch it when they are read. */
  onDevice?: boolean;
}

export interface NativeGraph {
  addInput(name: string, dtype: Dtype, shape: readonly number[]): number;
  addPersistent(tensor: NativeTensor, name: string): number;
  addNode(
    op: string,
    inputs: readonly number[],
    attributes: Record<string, Attribute>,
    name: string,
  ): number[];
  gradients(loss: number, values: readonly number[]): number[];
  type(value: number): { dtype: Dtype; shape: number[] };
  compile(outputs: readonly number[], options: CompileOptions): NativeProgram;
}

export interface NativeProgram {
  run(inputs: readonly number[], tensors: readonly NativeTensor[]): Promise<void>;
  cancel(): void;
  outputs(): NativeTensor[];
  explain(): string;
  dispose(): void;
}

/** An input or output of an ONNX file. */
export interface Port {
  readonly name: string;
  /** Ours where there is one, such as "f32"; else what the file says. */
  readonly dtype: string;
  /** -1: any extent. */
  readonly shape: readonly number[];
}

/** What ONNX Runtime's CUDA provider may use. */
export interface CudaSettings {
  readonly device: number;
  /** Most that the provider's arena may take, bytes; absent: all there is. */
  readonly memoryBytes?: number;
  /** Matrix products and convolutions with 10 bits of mantissa: faster, and no parity with other engines. */
  readonly tf32?: boolean;
}

export interface NativeOnnxSession {
  load(settings: { library: string; model: string; threads: number; cuda?: CudaSettings }): Promise<void>;
  inputs(): Port[];
  outputs(): Port[];
  run(
    inputNames: readonly string[],
    inputs: readonly NativeTensor[],
    outputNames: readonly string[],
    outputs: readonly NativeTensor[],
  ): Promise<void>;
  busySeconds(): number;
  cancel(): void;
  dispose(): void;
}

/** What a library of ONNX Runtime says of itself. */
export interface OnnxRuntimeInfo {
  readonly version: string;
  /** Execution providers that it was built with; their files need not be there. */
  readonly providers: readonly string[];
  /** Why the CUDA device that was asked for cannot be had, in the library's words; absent when it can. */
  readonly cudaProblem?: string;
}

export interface EngineInfo {
  /** Threads of the engine's pool. */
  threads: number;
  /** SIMD level in use: generic, v2, v3, v4 or v4-bf16. */
  simd: string;
  bestSimd: string;
  /** How bf16 matrices are multiplied: by instructions of the CPU, or rounded ones in f32, no faster than f32. */
  bf16: "native" | "rounded";
  /** Compiler that built the addon. */
  compiler: string;
  /** Where programs run that are compiled with `onDevice`: cpu, or such as `cuda:0 NVIDIA H200`. */
  device: string;
  /** Memory limit of configureEngine; 0: none. */
  memoryBytes: number;
  /** Memory that the engine holds for the values between nodes; all programs take turns in it. */
  arenaBytes: number;
  /** Time in which a program had the engine's threads since the process began, seconds; without a running one. */
  busySeconds: number;
  /** Attribute names of every op. */
  ops: Record<string, string[]>;
}

const typedErrors = {
  usage: UsageError,
  data: DataError,
  shape: ShapeError,
  dtype: DtypeError,
  device: DeviceError,
  disposed: DisposedError,
  cancelled: CancelledError,
} as const;

/** Turns an error of the addon into the typed error of its code; others pass through. */
export function typedError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof SfrError) return error;
  const code = (error as Error & { code?: unknown }).code;
  for (const [name, Typed] of Object.entries(typedErrors))
    if (code === name) return new Typed(error.message, { cause: error });
  return code === "internal" ? new SfrError("internal", error.message, { cause: error }) : error;
}

/** Calls into the addon; its errors come out typed. */
export function callNative<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw typedError(error);
  }
}

/** Where libsfr_cuda stands once `cmake --build build --target sfr_cuda` has made it; SFR_CUDA_LIBRARY names another. */
export function cudaLibrary(): string {
  return process.env.SFR_CUDA_LIBRARY ?? join(packageRoot(), "build", "cuda", "libsfr_cuda.so");
}

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function load(): NativeModule {
  const path = join(packageRoot(), "build", "Release", "sfr.node");
  const found = `Node ${process.version}, ${process.platform} ${process.arch}`;
  if (!existsSync(path))
    throw new DeviceError(
      `native addon: expected ${path}, found none (${found}); run \`npm run build:native\` (needs a C++17 compiler and CMake >= 3.18)`,
    );
  try {
    return createRequire(import.meta.url)(path) as NativeModule;
  } catch (error) {
    throw new DeviceError(
      `native addon: expected ${path} to load on this machine (${found}), received "${(error as Error).message}"; run \`npm run build:native\` to build it here`,
      { cause: error },
    );
  }
}

/** The loaded addon. Throws DeviceError with what was found, what is needed and the cure. */
export const native: NativeModule = load();

/** Version, threads and SIMD level of the engine. */
export function engineInfo(): EngineInfo {
  return native.engineInfo();
}

/** Sets threads (default: affinity mask and cgroup quota), SIMD level or memory limit, for the whole process. */
export function configureEngine(options: EngineOptions): void {
  callNative(() => native.configureEngine(options));
}
