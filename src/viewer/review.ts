import type { PngFile } from "../io/png.js";
import { escapeHtml } from "./html.js";
import {
  className,
  htmlPage,
  type LabelNames,
  labelKey,
  pictureGroup,
  scrollTable,
  section,
} from "./page.js";

/** A labelled case of the review page. */
export interface ReviewCase {
  readonly id: string;
  /** Mean probability of the voxels' classes; of those labelled as foreground (null: there are none). */
  readonly confidence: number;
  readonly foregroundConfidence: number | null;
  /** By label id. */
  readonly volumes: Readonly<Record<string, number>>;
  readonly picture?: PngFile | undefined;
}

/** Everything the page shows. Texts are plain. */
export interface ReviewData {
  readonly title: string;
  /** Least sure first. */
  readonly cases: readonly ReviewCase[];
  readonly failures: readonly { readonly id: string; readonly error: string }[];
  /** Ids of the classes without background. */
  readonly labels: readonly string[];
  readonly labelNames: LabelNames;
  readonly volumeUnit: string;
}

/** The page that ranks labelled cases by the network's own confidence, with a picture of each. */
export function reviewHtml(data: ReviewData): string {
  const { title, cases, failures, labels, labelNames, volumeUnit } = data;
  const classes = labels.map(
    (label) => `<th>${escapeHtml(className(label, labelNames))}, ${escapeHtml(volumeUnit)}</th>`,
  );
  const header = `<tr><th class="first">Case</th><th>Confidence</th><th>of foreground</th>${classes.join("")}</tr>`;
  const rows = cases.map(({ id, confidence, foregroundConfidence, volumes }) => {
    const cells = [
      confidence.toFixed(4),
      foregroundConfidence?.toFixed(4) ?? "–",
      ...labels.map((label) => Math.round(volumes[label] ?? 0).toLocaleString("en")),
    ];
    return `<tr><th class="first" scope="row">${escapeHtml(id)}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  const pictures = cases.flatMap(({ id, confidence, picture }) =>
    picture === undefined ? [] : [{ caption: `${id}: ${confidence.toFixed(4)}`, picture }],
  );
  const note =
    pictures.length < cases.length
      ? `The ${pictures.length} least sure; the folder pictures has all.`
      : "The middle slice of the foreground.";
  const failed = failures.length === 0 ? "" : ` ${failures.length} failed: see the end of the page.`;
  return htmlPage(title, [
    `<p>${cases.length} labelled cases, the least sure first: look at these before training on them.${failed}</p>`,
    ...section("Ranking", rows.length === 0 ? [] : [scrollTable(header, rows)]),
    ...section(
      "Pictures",
      pictures.length === 0
        ? []
        : [labelKey(labels, labelNames), pictureGroup({ title: "Image and labels", note, pictures })],
    ),
    ...section(
      "Failed cases",
      failures.map(({ id, error }) => `<p><strong>${escapeHtml(id)}</strong>: ${escapeHtml(error)}</p>`),
    ),
  ]);
}
