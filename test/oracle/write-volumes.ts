/** Writes the files that judge_volumes.py reads: node dist/test/oracle/write-volumes.js FOLDER */
import { join } from "node:path";
import { writtenFiles } from "../data/written-files.js";

await writtenFiles(join(process.cwd(), "test/fixtures/volumes"), process.argv[2] ?? ".");
