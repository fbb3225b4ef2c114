/** Number of single-character changes (Levenshtein) from one name to the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/**
 * The candidate most like `name` (case ignored, first one on a tie), or null when none is alike. One that
 * begins with the other is alike whatever follows: `case_seg` and `case`.
 */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  // Beyond about half of the letters changed, a suggestion misleads.
  let limit = Math.max(2, Math.ceil(name.length / 2)) + 1;
  for (const candidate of candidates) {
    const [a, b] = [name.toLowerCase(), candidate.toLowerCase()];
    const begins = a.startsWith(b) || b.startsWith(a);
    const distance = Math.min(editDistance(a, b), begins ? 2 : Number.POSITIVE_INFINITY);
    if (distance < limit) [best, limit] = [candidate, distance];
  }
  return best;
}
