import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** The program's entry, seen from dist/test/cli. */
const cliPath = fileURLToPath(new URL("../../src/cli/cli.js", import.meta.url));

/** How a call of the program ended. */
export interface Outcome {
  /** Exit code; null after a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `sfr` with these words and waits for its end. */
export async function sfr(...words: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [cliPath, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...output };
}
