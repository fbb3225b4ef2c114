import type { DensityPair } from "../metrics/density.js";
import { escapeHtml } from "./html.js";
import { htmlPage } from "./page.js";
import { chartFigure } from "./svg-chart.js";

/** Densities of one trained segmenter. */
export interface NamedDensity {
  readonly name: string;
  /** Undefined when it calls nothing foreground. */
  readonly density: DensityPair | undefined;
}

/** The page of `sfr features`: for each segmenter the densities of its labelled and unlabelled features. */
export function featuresPage(models: readonly NamedDensity[]): string {
  const figures = models.map(({ name, density }) => {
    if (density === undefined) return `<p>${escapeHtml(name)}: no foreground in one of the two sets.</p>`;
    const { x, first, second, overlap } = density;
    return chartFigure({
      title: `${name}, overlap ${overlap.toFixed(2)}`,
      xLabel: "first principal component, standard deviations",
      yLabel: "density",
      series: [
        { name: "labelled", x, y: first },
        { name: "unlabelled", x, y: second },
      ],
    });
  });
  const note =
    "Features of voxels that the segmenter calls foreground, in the map that its head reads, from crops of labelled and " +
    "unlabelled training cases; along the first principal component of both, Gaussian kernel estimates. Each segmenter has " +
    "an axis of its own. The overlap is the area below both curves: 1 where they are equal.";
  return htmlPage("Features of labelled and unlabelled data", [
    `<p class="note">${note}</p>`,
    `<div class="charts">${figures.join("\n")}</div>`,
  ]);
}
