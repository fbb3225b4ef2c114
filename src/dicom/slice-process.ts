/** The program of the process that reads DICOM files for a SliceReader: says when it can begin, then answers each path. */
import { messageOf } from "../error-text.js";
import { SfrError } from "../errors.js";
import { loadLibrary } from "./library.js";
import { readSliceFile } from "./slice-file.js";
import type { SliceAnswer } from "./slice-reader.js";

const answer = (message: SliceAnswer) => process.send?.(message);
const failure = (error: unknown): SliceAnswer => ({
  kind: "failed",
  code: error instanceof SfrError ? error.code : "internal",
  message: messageOf(error),
});

process.on("message", async (path: string) => {
  answer(await readSliceFile(path).then((slice) => ({ kind: "slice", slice }) as const, failure));
});
// Ctrl-C reaches every process of a terminal; the one that started this decides when it ends.
process.on("SIGINT", () => undefined);
// Whoever started this is gone, and with it the reason to go on.
process.on("disconnect", () => process.exit());
// The package's own loading, which takes longest, does not count as a file's time.
answer(await loadLibrary().then(() => ({ kind: "ready" }) as const, failure));
