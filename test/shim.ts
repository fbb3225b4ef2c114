/** The launch shim in the place of a card, for tests of what runs on a device. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { configureEngine } from "../src/native/native.js";

/** The library; see test/native/shim. */
export const shimLibrary = join(import.meta.dirname, "..", "..", "build", "Release", "libsfr_shim.so");

/** Why tests on it are skipped; false where they are not. */
export const skipWithoutShim = existsSync(shimLibrary) ? false : "the launch shim is not built here";

/** Programs that are compiled for a device from now on run on the CPU or on the shim. */
export function useDevice(device: "cpu" | "shim"): void {
  configureEngine({ cuda: device === "cpu" ? null : { library: shimLibrary, ordinal: 0, memoryBytes: 0 } });
}
