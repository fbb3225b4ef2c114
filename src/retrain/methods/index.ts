import { labelledOnly } from "./labelled-only.js";
import { meanTeacher } from "./mean-teacher.js";
import type { Method } from "./method.js";
import { selfTraining } from "./self-training.js";

/** Every re-training method, by the name it has in a configuration. */
export const methods = {
  "labelled-only": labelledOnly,
  "self-training": selfTraining,
  "mean-teacher": meanTeacher,
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;
