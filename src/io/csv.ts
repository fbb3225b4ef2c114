/** Cells of one line. */
export type CsvRow = readonly (string | number | null)[];

/** Rows as CSV (RFC 4180); null is an empty cell. */
export function csvText(rows: readonly CsvRow[]): string {
  return rows.map(csvLine).join("");
}

/** A line of CSV (RFC 4180) with its line end; null is an empty field. */
export function csvLine(fields: CsvRow): string {
  return `${fields.map(csvField).join(",")}\r\n`;
}

/** The fields of a line that csvLine has written. */
export function csvFields(line: string): string[] {
  const fields = line.match(/(?<=^|,)("(?:[^"]|"")*"|[^,]*)/g) ?? [];
  return fields.map((field) => (field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field));
}

function csvField(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
