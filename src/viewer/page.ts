import { encodePng, type Picture, type PngFile } from "../io/png.js";
import { cssColor, labelColor } from "./colors.js";
import { escapeHtml } from "./html.js";
import { reportStyle } from "./report-style.js";

/** Class names by label id. */
export type LabelNames = Readonly<Record<string, string>>;

/** Pictures that belong together. */
export interface PictureGroup {
  readonly title: string;
  /** A sentence on how to read them. */
  readonly note?: string;
  readonly pictures: readonly { readonly caption: string; readonly picture: Picture | PngFile }[];
}

/**
 * A page that needs nothing else: style, charts (SVG) and pictures (PNG) are inside, there is no script, and a content
 * security policy forbids every request.
 *
 * @param title plain text, @param parts HTML
 */
export function htmlPage(title: string, parts: readonly string[]): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(title)}</title>
<style>${reportStyle}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${parts.join("\n")}
</body>
</html>
`;
}

/** A section with its heading; nothing when it has no parts. */
export function section(title: string, parts: readonly string[]): string[] {
  return parts.length === 0 ? [] : [`<section><h2>${title}</h2>\n${parts.join("\n")}</section>`];
}

/** A table that scrolls by itself when it is wider than the page; header and rows are HTML. */
export function scrollTable(header: string, rows: readonly string[]): string {
  return `<div class="scroll"><table><thead>${header}</thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`;
}

/** Pictures side by side as far as the page is wide. */
export function pictureGroup(group: PictureGroup): string {
  const isWide = group.pictures.some(({ picture }) => picture.width > 1.6 * picture.height);
  const figures = group.pictures.map(({ caption, picture }) => {
    const { width, height } = picture;
    const png = "png" in picture ? picture.png : encodePng(picture.pixels, width, height, picture.channels);
    const source = Buffer.from(png).toString("base64");
    const text = escapeHtml(caption);
    return (
      `<figure><figcaption>${text}</figcaption>` +
      `<img src="data:image/png;base64,${source}" width="${width}" height="${height}" alt="${text}"></figure>`
    );
  });
  const note = group.note === undefined ? "" : `<p class="note">${escapeHtml(group.note)}</p>`;
  const style = isWide ? "pictures wide" : "pictures";
  return `<h3>${escapeHtml(group.title)}</h3>${note}<div class="${style}">${figures.join("\n")}</div>`;
}

/** Which colour stands for which label. */
export function labelKey(labels: readonly string[], names: LabelNames | undefined): string {
  const keys = labels.map((label) => {
    const color = cssColor(labelColor(Number(label)));
    return `<span class="key"><i style="background:${color}"></i>${escapeHtml(className(label, names))}</span>`;
  });
  return `<p class="legend">${keys.join("")}</p>`;
}

/** `left atrium (1)`, or `label 1` when it has no name. */
export function className(label: string, names: LabelNames | undefined): string {
  const name = names?.[label];
  return name === undefined ? `label ${label}` : `${name} (${label})`;
}
