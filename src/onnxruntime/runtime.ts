import { DeviceError } from "../errors.js";
import { callNative, native, type OnnxRuntimeInfo } from "../native/native.js";
import { findPackage, installCure } from "./package.js";

/** Minor versions of ONNX Runtime 1 whose C interface was called in tests. */
const testedMinors = { first: 27, last: 32 };

/** A library of ONNX Runtime to open sessions with. */
export interface OnnxRuntime {
  readonly library: string;
  readonly version: string;
  /**
   * `c`: its C interface, called by the addon. `node`: onnxruntime-node in a worker thread, on the CPU, for versions whose C
   * interface nobody tested here.
   */
  readonly through: "c" | "node";
}

/**
 * Loads ONNX Runtime.
 *
 * @param library path of libonnxruntime; default: the one of onnxruntime-node
 * @throws DeviceError when there is none, it does not load, or it is named and of an untested version
 */
export function onnxRuntime(library?: string): OnnxRuntime {
  const path = library ?? findPackage()?.library;
  if (path === undefined)
    throw new DeviceError(
      `onnxruntime: expected the optional package onnxruntime-node, received none; ${installCure}, or use --engine native`,
    );
  const { version } = onnxRuntimeInfo(path);
  if (isTested(version)) return { library: path, version, through: "c" };
  if (library === undefined) return { library: path, version, through: "node" };
  const { first, last } = testedMinors;
  throw new DeviceError(
    `onnxruntime: expected version 1.${first} to 1.${last} at ${path}, received ${version}; name another library`,
  );
}

/** What a library says of itself, and of a CUDA device when one is given. Throws DeviceError when it does not load. */
export function onnxRuntimeInfo(path: string, cudaDevice?: number): OnnxRuntimeInfo {
  return callNative(() => native.onnxRuntimeInfo(path, cudaDevice));
}

function isTested(version: string): boolean {
  const [major, minor = -1] = version.split(".").map(Number);
  return major === 1 && minor >= testedMinors.first && minor <= testedMinors.last;
}
