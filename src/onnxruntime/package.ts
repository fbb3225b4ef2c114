import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** How to get ONNX Runtime. */
export const installCure =
  "run `npm install onnxruntime-node@1.30 --onnxruntime-node-install=skip` where sfr is installed";

/** The library that the optional package onnxruntime-node brings. */
export interface OnnxRuntimePackage {
  readonly version: string;
  /** Path of libonnxruntime. */
  readonly library: string;
}

/**
 * Looks for onnxruntime-node without loading it.
 *
 * @param from module that would import it
 * @returns undefined when it is not installed, or has nothing for this platform
 */
export function findPackage(from: string = import.meta.url): OnnxRuntimePackage | undefined {
  try {
    const description = createRequire(from).resolve("onnxruntime-node/package.json");
    const { version }: { version?: unknown } = JSON.parse(readFileSync(description, "utf8"));
    const binaries = join(dirname(description), "bin");
    // napi-v6 in today's versions.
    const [abi] = readdirSync(binaries).filter((name) => name.startsWith("napi-v"));
    const folder = join(binaries, abi ?? "", process.platform, process.arch);
    const [name] = readdirSync(folder).filter((file) => /^libonnxruntime\.(so|\d.*dylib)/.test(file));
    return name === undefined ? undefined : { version: String(version), library: join(folder, name) };
  } catch {
    return undefined;
  }
}
