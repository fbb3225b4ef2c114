import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { average, entropy, mean } from "../../losses/unsupervised.js";
import { unpadded } from "../../models/segmenter.js";
import { ambiguityConsensus, type Consensus } from "./acmt.js";
import type { StepContext } from "./method.js";

/** Stochastic passes of the teacher. */
const passes = 10;
/** Largest variance over these passes of a class's sigmoid that counts as certain: 0.1 squared. */
const certainVariance = 0.01;

/** Sample variance (n - 1) of values of one shape. */
function variance(values: readonly Value[]): Value {
  const middle = average(values);
  const squares = values.map((value) => {
    const difference = ops.subtract(value, middle);
    return ops.multiply(difference, difference);
  });
  return ops.affine(average(squares), values.length / (values.length - 1));
}

/**
 * Labels u8 [1, D, H, W] of one crop by the nearest class prototype: the mean of `features` [1, D, H, W, C], weighted by
 * `chosen` [1, D, H, W, K]; by |f - c|^2 = |f|^2 - (2 f c - |c|^2).
 */
function nearestPrototype(features: Value, chosen: Value): Value {
  const [channels, classes] = [features.dim(-1), chosen.dim(-1)];
  const voxels = features.shape.reduce((product, extent) => product * extent, 1) / channels;
  const f = ops.reshape(features, [1, voxels, channels]);
  const sums = ops.matmul(ops.reshape(chosen, [1, voxels, classes]), f, { a: true });
  const weights = ops.affine(ops.sumTo(chosen, [classes]), 1, 1e-5);
  const shares = ops.divide(ops.fill(features.graph, [classes], 1), weights);
  const prototypes = ops.scaleRows(ops.reshape(sums, [classes, channels]), shares);
  const products = ops.matmul(f, ops.reshape(prototypes, [1, classes, channels]), { b: true });
  const nearness = ops.subtract(ops.affine(products, 2), ops.dotRows(prototypes, prototypes));
  return ops.reshape(ops.argmax(nearness), features.shape.slice(0, 4));
}

/** Labels u8 [N, D, H, W] of the crops by the teacher's prototypes. */
function prototypeLabels(step: StepContext, { crops, student, teacher }: Consensus): Value {
  const stochastic = Array.from({ length: passes }, (_, i) => {
    const pass = `pass-${i + 1}`;
    const [finest, half] = step.decode(teacher, step.encode(teacher, crops, { pass }), { pass });
    return { sigmoids: ops.sigmoid(step.head(teacher, finest)), half };
  });
  const limit = ops.fill(step.graph, [], certainVariance);
  const uncertain = ops.atLeast(variance(stochastic.map(({ sigmoids }) => sigmoids)), limit);
  const half = average(stochastic.map((each) => each.half));
  const full = ops.resizeTrilinear(half, [2 * half.dim(1), 2 * half.dim(2), 2 * half.dim(3)]);
  const features = unpadded(full, crops.shape);
  const q = ops.softmax(step.forward(teacher, crops, { pass: "clean" }));
  const reliable = ops.argmax(ops.multiply(q, ops.affine(uncertain, -1, 1)));
  const chosen = ops.multiply(q, ops.oneHot(reliable, student.dim(-1)));
  const crop = (x: Value, n: number) => ops.slice(x, 0, n, n + 1);
  const samples = Array.from({ length: crops.dim(0) }, (_, n) =>
    nearestPrototype(crop(features, n), crop(chosen, n)),
  );
  return ops.concat(samples, 0);
}

/**
 * ACMT with prototype errors. Ten stochastic passes of the teacher on the clean crops give, per class, certain voxels
 * (standard deviation of the sigmoid below 0.1) and F, the mean of the decoder's half-resolution maps, upsampled. With q =
 * softmax of one more clean pass and r = the largest certain q (0 where none is certain), by sample:
 *
 *   c_k   = sum F q_k [r = k] / (sum q_k [r = k] + 1e-5),   s = argmin_k |F - c_k|^2
 *   m_k   = [onehot(s) differs from onehot(argmax p) at k]     L_amb = sum m (p - q')^2 / (sum m + 1e-16)
 *   L_amb + mean of [s = argmax p] H(p) / ln K
 *
 * q' is the target of all selectors. Choices: m has K channels, as in the code; the entropy, which the code marks as an
 * addition, is masked voxel by voxel, where the code's shapes let samples and classes multiply crosswise (they only fit for
 * 2 unlabelled crops and K = 2).
 */
export const ambiguityByPrototypes = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) (MSE(student, teacher) where the teacher's prototypes disagree + H(p) elsewhere).",
  "ACMT (PErr)",
  (step, consensus) => {
    const { student, target } = consensus;
    const classes = student.dim(-1);
    const byPrototype = ops.oneHot(prototypeLabels(step, consensus), classes);
    const byStudent = ops.oneHot(ops.argmax(student), classes);
    const apart = ops.subtract(byPrototype, byStudent);
    const noisy = ops.stopGradient(ops.multiply(apart, apart));
    const clean = ops.stopGradient(ops.dotRows(byPrototype, byStudent));
    const difference = ops.subtract(student, target);
    const squares = ops.sum(ops.multiply(ops.multiply(difference, difference), noisy));
    const consistency = ops.divide(squares, ops.affine(ops.sum(noisy), 1, 1e-16));
    const sharpness = ops.affine(mean(ops.multiply(entropy(student), clean)), 1 / Math.log(classes));
    return {
      loss: ops.add(consistency, sharpness),
      terms: { consistency, sharpness, ambiguousShare: ops.affine(mean(clean), -1, 1) },
    };
  },
);
