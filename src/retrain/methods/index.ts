import type { ArmSettings } from "../../config/schema.js";
import { ambiguityByEntropy, ambiguityByLabelNoise, ambiguityByModelUncertainty } from "./acmt.js";
import { ambiguityByPrototypes } from "./acmt-prototypes.js";
import { bidirectionalCopyPaste } from "./bcp.js";
import { crossConsistency } from "./cct.js";
import { crossPseudoSupervision } from "./cps.js";
import { dualTaskConsistency } from "./dtc.js";
import { entropyMinimisation } from "./entropy-minimisation.js";
import { interpolationConsistency } from "./ict.js";
import { labelledOnly } from "./labelled-only.js";
import { magicNet, magicNetReleased } from "./magicnet.js";
import { meanTeacher, plainMeanTeacher } from "./mean-teacher.js";
import type { Method } from "./method.js";
import { selfTraining } from "./self-training.js";
import { smoothnessAndSeparation } from "./ss-net.js";
import { uncertaintyAwareMeanTeacher } from "./ua-mt.js";
import { pyramidConsistency } from "./urpc.js";

/** What `arms[].method` names, SAM itself left out. */
export type MethodName = Exclude<ArmSettings["method"], "sam">;

/** Every re-training method, by the name it has in a configuration. */
export const methods: Readonly<Record<MethodName, Method>> = {
  "labelled-only": labelledOnly,
  "self-training": selfTraining,
  "mean-teacher": meanTeacher,
  "mean-teacher-unlabelled": plainMeanTeacher,
  "entropy-minimisation": entropyMinimisation,
  "ua-mt": uncertaintyAwareMeanTeacher,
  cps: crossPseudoSupervision,
  ict: interpolationConsistency,
  urpc: pyramidConsistency,
  dtc: dualTaskConsistency,
  cct: crossConsistency,
  bcp: bidirectionalCopyPaste,
  "ss-net": smoothnessAndSeparation,
  magicnet: magicNet,
  "magicnet-released": magicNetReleased,
  "acmt-ent": ambiguityByEntropy,
  "acmt-mu": ambiguityByModelUncertainty,
  "acmt-serr": ambiguityByLabelNoise,
  "acmt-perr": ambiguityByPrototypes,
};
