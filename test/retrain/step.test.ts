/** What RetrainStep gives to methods. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import * as ops from "../../src/graph/ops.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import type { Method, StepContext, StepLosses } from "../../src/retrain/methods/method.js";
import { labelledAndPseudoLabelled } from "../../src/retrain/methods/supervised.js";
import { RetrainStep } from "../../src/retrain/step.js";

function describeStep(
  losses: (step: StepContext) => StepLosses,
  more: Partial<Method> = {},
  momentum = 0.9,
): RetrainStep {
  const step = new RetrainStep({
    method: { summary: "", names: { none: "test" }, usesUnlabelled: true, ...more, losses },
    segmenter: segmenterSettings.parse({ filters: 2 }),
    settings: retrainSettings.parse({ steps: 10, learningRate: 0.05, momentum }),
    classes: 2,
    patch: [32, 16, 16],
    pseudoLabels: false,
    seed: 1,
  });
  step.batch.images.f32.forEach((_, i, all) => {
    all[i] = Math.sin(i);
  });
  step.batch.labels.u8.forEach((_, i, all) => {
    all[i] = i % 3 === 0 ? 1 : 0;
  });
  return step;
}

/** Difference of two passes of the student on the same crops. */
const twoPasses = (name: string) => (step: StepContext) => {
  const { logits, total, terms } = labelledAndPseudoLabelled(step);
  const again = step.forward(step.student, step.images, { pass: name });
  return { total, terms: { ...terms, difference: ops.meanSquaredError(logits, again) } };
};

describe("RetrainStep", () => {
  it("draws the dropout of another pass anew, and refuses a pass that would repeat one", async () => {
    using step = describeStep(twoPasses("again"));
    const { difference = 0 } = await step.run(0);
    assert.ok(difference > 1e-3, `passes differ by ${difference}`);
    assert.throws(() => describeStep(twoPasses("")), /another pass of 'student', received ''/);
  });

  it("starts another network from random numbers of its own", () => {
    using step = describeStep((context) => {
      const { total } = labelledAndPseudoLabelled(context, context.network("second"));
      const first = labelledAndPseudoLabelled(context);
      return { ...first, total: ops.add(first.total, total) };
    });
    const [first, second] = ["student", "second"].map(
      (name) => step.state().get(`${name}/out_conv.weight`)?.data ?? assert.fail(name),
    );
    assert.notDeepEqual(first, second);
  });

  it("moves the running statistics once per pass", async () => {
    using once = describeStep((step) => labelledAndPseudoLabelled(step));
    using twice = describeStep(twoPasses("again"));
    const key = "student/block_one.conv.1.running_var";
    const moved: number[] = [];
    for (const step of [once, twice]) {
      await step.run(0);
      moved.push(1 - (toFloat32(step.state().get(key) ?? assert.fail(key))[0] ?? Number.NaN));
    }
    const [one = 0, two = 0] = moved;
    // From 1 towards the batch's variance v: 0.1 (1 - v) after one pass, 0.19 (1 - v) after two of the same crops, whose
    // first layer has no dropout before it.
    assert.ok(Math.abs(two / one - 1.9) < 1e-4, `${two} after two passes, ${one} after one`);
  });

  it("hands over from a warm-up: copies of the student, no momentum, a schedule of its own", async () => {
    const seen: [number, number][] = [];
    const describeTwo = (momentum: number) =>
      describeStep(
        (context) => {
          const steps = context.scalar("steps", (t) => {
            seen.push([t, context.settings.steps]);
            return t;
          });
          const result = labelledAndPseudoLabelled(context);
          const teacher = context.forward(context.network("teacher"), context.images);
          return {
            total: ops.add(result.total, ops.affine(steps, 0)),
            terms: { ...result.terms, apart: ops.meanSquaredError(result.logits, teacher) },
          };
        },
        { warmUp: { share: 0.3, losses: (context) => labelledAndPseudoLabelled(context) } },
        momentum,
      );
    using step = describeTwo(0.9);
    assert.deepEqual(
      [0, 2, 3, 9].map((t) => step.usesUnlabelled(t)),
      [false, false, true, true],
    );
    for (let t = 0; t < 3; t++) assert.equal((await step.run(t)).apart, undefined, `step ${t}`);
    const before = step.state();
    assert.equal((await step.run(3)).learningRate, 0.05);
    assert.deepEqual(seen, [[0, 7]]);
    const after = step.state();
    // Momentum that starts at zero makes no difference to its first step.
    using forgetful = describeTwo(0);
    forgetful.restore(before);
    await forgetful.run(3);
    const expected = forgetful.state();
    for (const [name, { data }] of before) {
      // The heads that nothing computes are the student's file's.
      if (!name.startsWith("student/") || /running_|out_conv_dp/.test(name)) continue;
      assert.deepEqual(after.get(name.replace("student", "teacher"))?.data, data, `teacher's ${name}`);
      assert.deepEqual(after.get(name)?.data, expected.get(name)?.data, name);
    }
  });
});
