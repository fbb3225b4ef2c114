import type { z } from "zod";
import type { configSchema } from "../config/schema.js";

type Settings = z.input<typeof configSchema>;

/** How the paper uses a public data set, and what its makers ask for. */
export interface Preset {
  readonly name: string;
  readonly title: string;
  /** Layout of the public download. */
  readonly layout: string;
  /** Labelled training cases of the moderate setting; the scarce one has 1. */
  readonly labelled: number;
  /** What differs from the defaults, by groups of the configuration. */
  readonly settings: Pick<Settings, "patch" | "preprocess" | "segmenter" | "predict"> & {
    readonly relabel?: Settings["data"]["relabel"];
    readonly schedule?: "step" | "poly";
  };
  /** Where the terms of use stand; they are binding, this is not. */
  readonly licence: string;
  /** What to cite, one work each. */
  readonly citations: readonly string[];
}

/** The window that is usual for organs of the abdomen, HU, and a uniform patch needs 96 slices. */
const abdomen: Settings["preprocess"] = {
  cropAbove: -500,
  window: [-175, 250],
  spacing: "median",
  minimumSlices: 96,
};
const cube: Settings["patch"] = [96, 96, 96];

/** The five data sets of the paper. */
export const presets: readonly Preset[] = [
  {
    name: "la",
    title: "left atrium, MRI (challenge of 2018)",
    layout: "la-2018",
    labelled: 16,
    settings: { patch: [112, 112, 80], predict: { stride: [18, 18, 4] } },
    licence: "registration at cardiacatlas.org/atriaseg2018-challenge; terms of the challenge",
    citations: [
      "Z. Xiong et al. A global benchmark of algorithms for segmenting the left atrium from late gadolinium-enhanced cardiac magnetic resonance imaging. Medical Image Analysis 67, 2021",
    ],
  },
  {
    name: "brats",
    title: "whole tumour on FLAIR (BraTS 2019)",
    layout: "brats-2019",
    labelled: 50,
    settings: {
      patch: cube,
      relabel: { 2: 1, 4: 1 },
      preprocess: { cropAbove: 0 },
      segmenter: { model: "unet3d" },
      predict: { stride: [64, 64, 64] },
    },
    licence: "registration with the organisers of BraTS; for research, no redistribution",
    citations: [
      "B. H. Menze et al. The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). IEEE Transactions on Medical Imaging 34(10), 2015",
      "S. Bakas et al. Advancing The Cancer Genome Atlas glioma MRI collections with expert segmentation labels and radiomic features. Scientific Data 4, 2017",
      "S. Bakas et al. Identifying the best machine learning algorithms for brain tumor segmentation, progression assessment, and overall survival prediction in the BRATS challenge. arXiv:1811.02629, 2018",
    ],
  },
  {
    name: "btcv",
    title: "13 abdominal organs, CT (BTCV)",
    layout: "btcv",
    labelled: 7,
    settings: {
      patch: cube,
      preprocess: abdomen,
      predict: { stride: [16, 16, 16] },
      schedule: "poly",
    },
    licence: "account at synapse.org (syn3193805); terms of the challenge",
    citations: [
      "B. Landman et al. MICCAI Multi-Atlas Labeling Beyond the Cranial Vault - Workshop and Challenge. 2015, doi 10.7303/syn3193805",
    ],
  },
  {
    name: "mact",
    title: "8 abdominal organs, CT (TCIA Pancreas-CT and BTCV)",
    layout: "mact",
    labelled: 14,
    settings: {
      patch: cube,
      // Organs that only the half of the cases from BTCV has.
      relabel: { 2: 0, 8: 0, 9: 0, 10: 0, 12: 0, 13: 0 },
      preprocess: abdomen,
      predict: { stride: [16, 16, 16] },
    },
    licence:
      "labels: zenodo.org/records/1169361; images: Pancreas-CT of the Cancer Imaging Archive, and BTCV",
    citations: [
      "E. Gibson et al. Automatic multi-organ segmentation on abdominal CT with dense V-networks. IEEE Transactions on Medical Imaging 37(8), 2018",
      "H. R. Roth et al. DeepOrgan: multi-level deep convolutional networks for automated pancreas segmentation. MICCAI 2015",
    ],
  },
  {
    name: "abdomenct-1k",
    title: "liver, kidney, spleen, pancreas, CT (AbdomenCT-1K)",
    layout: "abdomenct-1k",
    labelled: 180,
    settings: { patch: cube, preprocess: abdomen, predict: { stride: [16, 16, 16] } },
    licence: "github.com/JunMa11/AbdomenCT-1K; images have the terms of the sets that they come from",
    citations: [
      "J. Ma et al. AbdomenCT-1K: Is abdominal organ segmentation a solved problem? IEEE Transactions on Pattern Analysis and Machine Intelligence 44(10), 2022",
    ],
  },
];
