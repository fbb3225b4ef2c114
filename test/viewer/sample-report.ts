import { type CaseScores, summarize } from "../../src/metrics/summary.js";
import { renderCanvas } from "../../src/viewer/canvas-preview.js";
import { curvesFromEvents } from "../../src/viewer/curves.js";
import { renderOverlay } from "../../src/viewer/overlay.js";
import type { ReportData } from "../../src/viewer/report.js";
import { classScores } from "../metrics/class-scores.js";

const size = [48, 40, 32] as const;

/** A sphere of label 1 with a smaller one of label 2 in it, as labels and as a noisy image. */
function volume(radius: number, shift: number) {
  const count = size[0] * size[1] * size[2];
  const labels = new Uint8Array(count);
  const image = new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const [x, y, z] = [i % size[0], Math.floor(i / size[0]) % size[1], Math.floor(i / size[0] / size[1])];
    const distance = Math.hypot(x - 22 - shift, y - 20, z - 16);
    labels[i] = distance < radius / 2 ? 2 : distance < radius ? 1 : 0;
    const noise = ((i * 7919) % 101) / 101;
    image[i] = (labels[i] ?? 0) * 1.5 + noise + x / 60;
  }
  return { image, labels };
}

function events() {
  const lines = [];
  for (const [k, arm] of ["labelled-only", "Mean Teacher", "SFR (random SAM)"].entries()) {
    for (let step = 1; step <= 600; step += 1) {
      const noise = (((step * 7919 + k * 31) % 101) / 101 - 0.5) * 0.12;
      const dice = Math.max(0.02, 0.7 * Math.exp(-step / (140 + 40 * k)) + 0.08 + noise);
      const lr = 0.01 * (step > 500 ? 0.01 : step > 250 ? 0.1 : 1);
      const terms = {
        dice,
        "cross-entropy": dice / 2,
        ...(k > 0 ? { consistency: (0.02 * step) / 600 } : {}),
      };
      lines.push({ stage: "retrain", arm, step, total: 600, loss: dice * 1.5, terms, lr });
    }
  }
  for (let step = 1; step <= 90; step += 1) {
    const loss = 3 * Math.exp(-step / 12) + 0.02;
    const terms = { dice: loss * 0.8, "cross-entropy": loss * 0.2 };
    lines.push({ stage: "finetune", step, total: 90, loss, terms, lr: 1e-3 * Math.min(1, step / 20) });
  }
  return lines;
}

/** Content of every kind, with texts that would break a page that does not escape them. */
export function sampleReport(): ReportData {
  const arms = ["labelled-only", "Mean Teacher", "SFR (random SAM)", "fine-tuned SAM alone (random SAM)"];
  const caseIds = ["phantom_012", "phantom_013", "phantom_014", '<img src="https://example.org/x.png">'];
  const reference = volume(12, 0);
  const prediction = volume(11, 2);
  const canvasWidth = size[0] * 6;
  const canvas = new Float32Array(canvasWidth * size[1] * 6);
  const canvasLabels = new Uint8Array(canvas.length).fill(255);
  for (let i = 0; i < canvas.length; i += 1) {
    const [x, y] = [i % canvasWidth, Math.floor(i / canvasWidth)];
    const slice = Math.floor(x / size[0]) + 6 * Math.floor(y / size[1]);
    if (slice < size[2]) {
      const voxel = slice * size[0] * size[1] + (y % size[1]) * size[0] + (x % size[0]);
      canvas[i] = reference.image[voxel] ?? 0;
      canvasLabels[i] = prediction.labels[voxel] ?? 0;
    }
  }
  return {
    title: "SFR on phantoms <demo>",
    about:
      "Two labelled and ten unlabelled volumes, four held out for scoring. A SAM that starts from random weights was " +
      "fine-tuned on stitched canvases and labelled the unlabelled volumes; a V-Net was then trained on both.",
    arms: arms.map((name, k) => ({
      name,
      wallSeconds: 75 + 60 * k,
      summary: summarize(
        caseIds.map((id, i): CaseScores => {
          const scores = (label: number, Dice: number) =>
            classScores(
              label,
              { Dice, Jaccard: Dice / (2 - Dice), HD95: 12 * (1 - Dice) + i, ASD: 3 * (1 - Dice) },
              { nRef: i === 3 && label === 2 ? 0 : 940 },
            );
          return {
            id,
            unit: "mm",
            classes: [scores(1, 0.8 + 0.03 * k + 0.01 * i), scores(2, 0.7 + 0.02 * k)],
          };
        }),
      ),
    })),
    labelNames: { 1: "shell & wall", 2: "core" },
    curves: curvesFromEvents(events(), { retrain: "Re-training", finetune: "Fine-tuning of SAM" }),
    pictures: [
      {
        title: "Held-out cases",
        note: "Middle slice of the foreground; from the left: image, reference, prediction of SFR (random SAM).",
        pictures: caseIds.map((id) => ({
          caption: `${id}: Dice 0.89`,
          picture: renderOverlay({
            image: reference.image,
            size,
            reference: reference.labels,
            prediction: prediction.labels,
          }),
        })),
      },
      {
        title: "Stitched canvas and its pseudo-label",
        note: "All slices of a volume side by side; dark blue is ignored.",
        pictures: [
          {
            caption: "canvas",
            picture: renderCanvas({ image: canvas, width: canvasWidth, height: size[1] * 6 }),
          },
          {
            caption: "pseudo-label",
            picture: renderCanvas({
              image: canvas,
              labels: canvasLabels,
              width: canvasWidth,
              height: size[1] * 6,
            }),
          },
        ],
      },
    ],
    config: {
      data: { root: "phantoms", note: "</pre><script>alert(1)</script>" },
      retrain: { steps: 600, patch: [48, 48, 48] },
    },
    facts: {
      sfr: "0.1.0",
      Node: "20.20.2",
      device: "cpu, x86-64-v4, 2 threads",
      seed: "7",
      "SHA-256 of the SAM weights": "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
    },
  };
}
