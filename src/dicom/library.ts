import type dcmjs from "dcmjs";
import { messageOf } from "../error-text.js";
import { UsageError } from "../errors.js";

type Library = typeof dcmjs.data;

/**
 * The package that parses and writes DICOM, an optional one: who needs no DICOM does not install it.
 *
 * @throws UsageError when it is not installed or does not load
 */
export async function loadLibrary(): Promise<Library> {
  try {
    const { data, log } = (await import("dcmjs")).default;
    // What it complains about while it reads is found again in what it returns.
    log.getLogger("validation.dcmjs").setLevel("silent");
    return data;
  } catch (error) {
    throw new UsageError(
      `dicom: expected the optional package dcmjs, received "${messageOf(error)}"; ` +
        "run `npm install dcmjs@0.51` where sfr is installed",
      { cause: error },
    );
  }
}
