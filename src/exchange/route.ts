import type { ExchangeSettings } from "../config/schema.js";
import type { CropConfidence } from "./confidence.js";

/** What an unlabelled crop does: fine-tune SAM with the segmenter's label, or re-train the segmenter with SAM's. */
export type Route = "finetune" | "retrain";

/**
 * The route of a crop: fine-tuning where the segmenter's confidence reaches the threshold tau. Where the confidence of
 * the foreground decides, a crop without any is never sure.
 */
export function routeOf(
  { mean, foreground }: CropConfidence,
  { confidence, threshold }: Pick<ExchangeSettings, "confidence" | "threshold">,
): Route {
  const decisive = confidence === "foreground" ? foreground : mean;
  return decisive !== null && decisive >= threshold ? "finetune" : "retrain";
}
