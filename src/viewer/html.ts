/** Text as HTML or SVG content or attribute value; control characters that neither may hold are dropped. */
export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return [...text]
    .filter((char) => char >= " " || char === "\n" || char === "\t")
    .map((char) => names[char] ?? char)
    .join("");
}
