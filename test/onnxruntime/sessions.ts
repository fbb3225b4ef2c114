import { fileURLToPath } from "node:url";
import { engineInfo } from "../../src/native/native.js";
import { findPackage } from "../../src/onnxruntime/package.js";
import { type OnnxRuntime, onnxRuntime } from "../../src/onnxruntime/runtime.js";
import { OnnxSession } from "../../src/onnxruntime/session.js";

/** Path of a file that test/oracle/make-onnx.py wrote. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../test/fixtures/onnx/${name}.onnx`, import.meta.url));

/** Why tests of ONNX Runtime are left out; false where onnxruntime-node is installed. */
export const withoutRuntime: string | false =
  findPackage() === undefined ? "onnxruntime-node is not installed" : false;

/** The two ways into ONNX Runtime. */
export const ways = ["c", "node"] as const satisfies readonly OnnxRuntime["through"][];

/** Opens a file in one of the ways. */
export function openSession(model: string, through: OnnxRuntime["through"]): Promise<OnnxSession> {
  return OnnxSession.open(model, { runtime: { ...onnxRuntime(), through }, threads: engineInfo().threads });
}
