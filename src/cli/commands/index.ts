import type { Command } from "../command.js";
import { bench } from "./bench.js";
import { check } from "./check.js";
import { compare } from "./compare.js";
import { convert } from "./convert.js";
import { demo } from "./demo.js";
import { dicomExport } from "./dicom-export.js";
import { dicomImport } from "./dicom-import.js";
import { doctor } from "./doctor.js";
import { evaluate } from "./evaluate.js";
import { exportCommand } from "./export.js";
import { features } from "./features.js";
import { finetune } from "./finetune.js";
import { init } from "./init.js";
import { inspect } from "./inspect.js";
import { predict } from "./predict.js";
import { pseudoLabel } from "./pseudo-label.js";
import { retrain } from "./retrain.js";
import { run } from "./run.js";
import { slurm } from "./slurm.js";
import { stitch } from "./stitch.js";
import { sweep } from "./sweep.js";
import { unstitch } from "./unstitch.js";

/** Every command, in the order of the help; a new one is a file here and a line in this list. */
export const commands: readonly Command[] = [
  demo,
  init,
  check,
  run,
  sweep,
  finetune,
  pseudoLabel,
  retrain,
  predict,
  slurm,
  evaluate,
  compare,
  features,
  stitch,
  unstitch,
  dicomImport,
  dicomExport,
  inspect,
  convert,
  exportCommand,
  doctor,
  bench,
];
