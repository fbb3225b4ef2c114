/** Steps of re-training methods, and of SFR+, in the benches. */
import { retrainSettings, segmenterSettings } from "../src/config/schema.js";
import { methods } from "../src/retrain/methods/index.js";
import { RetrainStep } from "../src/retrain/step.js";
import { labelOrder, permute, volumeOrder } from "../test/oracle/axes.js";
import { checkerLabel, fillWeights, image, slabImage } from "../test/oracle/inputs.js";
import type { RequestOf } from "./requests.js";
import { startTraining } from "./segmenter-workload.js";
import { startSamTraining, type Workload } from "./workloads.js";

/**
 * Networks of a method in the order of their seeds, and what its step records in the order of the peer's losses behind
 * the total and L_sup.
 */
const parts = {
  "mean-teacher": { networks: ["student", "teacher"], terms: ["pseudoLabel", "consistency"] },
  "ua-mt": { networks: ["student", "teacher"], terms: ["pseudoLabel", "consistency", "certainShare"] },
  "acmt-ent": { networks: ["student", "teacher"], terms: ["pseudoLabel", "consistency", "ambiguousShare"] },
  magicnet: {
    networks: ["student", "teacher", "location"],
    terms: ["supervised", "location", "consistency", "pseudoLabel"],
  },
} as const satisfies Record<RequestOf<"method-train">["method"], unknown>;

/** A step of a method on 2 labelled and 2 unlabelled crops with pseudo-labels. */
export async function startMethod(request: RequestOf<"method-train">): Promise<Workload> {
  const { model, patch, filters, classes, method } = request;
  const step = new RetrainStep({
    method: methods[method],
    segmenter: segmenterSettings.parse({ model, filters }),
    // As the oracle's.
    settings: retrainSettings.parse({ steps: 10, learningRate: 0.05, consistency: 10 }),
    ...{ classes, patch, pseudoLabels: true, seed: 1 },
  });
  const { networks, terms } = parts[method];
  for (const [i, name] of networks.entries()) {
    const network = step.networks.get(name);
    // As the oracle's.
    if (network !== undefined) fillWeights(network, { calm: true, seed: i + 1 });
  }
  const labels = checkerLabel([4, ...patch], classes, 8);
  const crops = (model === "vnet" ? image : slabImage)("volume", labels, [4, 1, ...patch]);
  const pseudoLabels = checkerLabel([2, ...patch], classes, 8, 2);
  step.batch.images.f32.set(permute(crops, [4, 1, ...patch], volumeOrder));
  const inMemory = permute(labels, [4, ...patch], labelOrder);
  step.batch.labels.u8.set(inMemory.subarray(0, step.batch.labels.count));
  step.batch.pseudoLabels?.u8.set(permute(pseudoLabels, [2, ...patch], labelOrder));
  globalThis.gc?.();
  const record = await step.run(0);
  const { loss = Number.NaN, crossEntropy = Number.NaN, dice = Number.NaN } = record;
  const others = terms.map((name) => record[name] ?? Number.NaN);
  return {
    values: new Map([["losses", [loss, 0.5 * (crossEntropy + dice), ...others]]]),
    explain: () => step.explain(),
    run: async (index) => void (await step.run(index)),
  };
}

/** What a step of SFR+ trains: the segmenter once, SAM once. */
export async function startExchange({ segmenter, sam }: RequestOf<"exchange-train">): Promise<Workload> {
  const steps = [
    await startTraining({ work: "segmenter-train", ...segmenter }),
    await startSamTraining({ work: "sam-train", ...sam }),
  ];
  const losses = steps.map(({ values }) => values.get("losses")?.[0] ?? Number.NaN);
  return {
    values: new Map([["losses", losses]]),
    // Two programs; their sum is what one run does.
    explain: () => {
      const each = steps.flatMap(({ explain }) => explain?.() ?? []);
      const [first] = each;
      if (first === undefined) throw new Error("bench: expected two explained steps, received none");
      const total = (of: "flops" | "bytesMoved") => each.reduce((sum, one) => sum + one[of], 0);
      return { ...first, flops: total("flops"), bytesMoved: total("bytesMoved") };
    },
    run: async (index) => {
      for (const step of steps) await step.run(index);
    },
  };
}
