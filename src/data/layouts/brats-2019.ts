import { join } from "node:path";
import { type CaseFiles, caseFolders, hasCaseFolders } from "./case-folders.js";
import type { Layout } from "./layout.js";
import { publicSplit } from "./public-split.js";

const files: CaseFiles = {
  image: (id) => [`${id}_flair.nii.gz`, `${id}_flair.nii`],
  label: (id) => [`${id}_seg.nii.gz`, `${id}_seg.nii`],
};

/** Grades that the training data are sorted by; other copies have them in one folder. */
const places = (root: string): string[] => [join(root, "HGG"), join(root, "LGG"), root];

/** BraTS 2019, FLAIR of four images: `HGG/<id>/<id>_flair.nii.gz` with `<id>_seg.nii.gz`, and `LGG/`. */
export const brats2019: Layout = {
  name: "brats-2019",
  lookedFor: "folders <id>/ with <id>_flair.nii.gz, in it or in HGG/ and LGG/",
  detect: (root) => hasCaseFolders(places(root), files),
  async list(root) {
    const cases = (await Promise.all(places(root).map((place) => caseFolders(place, files)))).flat();
    return {
      ...(await publicSplit(root, cases, { test: 85, of: 335 })),
      labels: { 0: "background", 1: "necrotic and non-enhancing core", 2: "oedema", 4: "enhancing tumour" },
    };
  },
};
