/** A fenced block of code. */
export interface CodeBlock {
  /** First word after the fence: `sh`, `yaml`. */
  readonly language: string;
  /** What follows it; here `configuration` or `fragment` for YAML. */
  readonly tag: string;
  /** Line of the fence, from 1. */
  readonly line: number;
  readonly text: string;
}

/** A text with the line that it stands in, from 1. */
export interface Placed {
  readonly line: number;
  readonly text: string;
}

/** The parts of a Markdown page that can be wrong. */
export interface Page {
  readonly blocks: readonly CodeBlock[];
  /** Targets of links and pictures. */
  readonly links: readonly Placed[];
  /** Code spans within sentences. */
  readonly spans: readonly Placed[];
  /** Anchors of the headings, as GitHub makes them. */
  readonly anchors: ReadonlySet<string>;
}

/** Takes a page apart: the Markdown that our pages use (fences, inline links, ATX headings), no more. */
export function readMarkdown(text: string): Page {
  const [blocks, links, spans, anchors]: [CodeBlock[], Placed[], Placed[], Set<string>] = [
    [],
    [],
    [],
    new Set(),
  ];
  let open: { block: CodeBlock; indent: number; lines: string[] } | undefined;
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    const [, spaces = "", language = "", tag = ""] = /^(\s*)```(\S*)\s*(.*)$/.exec(content) ?? [];
    const isFence = /^\s*```/.test(content);
    if (open !== undefined && isFence) {
      blocks.push({ ...open.block, text: open.lines.join("\n") });
      open = undefined;
    } else if (open !== undefined) {
      open.lines.push(content.slice(open.indent));
    } else if (isFence) {
      open = { block: { language, tag: tag.trim(), line, text: "" }, indent: spaces.length, lines: [] };
    } else {
      for (const [, span = ""] of content.matchAll(/`([^`]+)`/g)) spans.push({ line, text: span });
      const words = content.replaceAll(/`[^`]*`/g, "code");
      for (const [, target = ""] of words.matchAll(/\]\(([^)\s]+)\)/g)) links.push({ line, text: target });
      const heading = /^#+\s+(.*)$/.exec(content)?.[1];
      if (heading !== undefined) anchors.add(anchorOf(heading));
    }
  }
  return { blocks, links, spans, anchors };
}

/** GitHub's anchor of a heading: lower case, punctuation dropped, spaces to dashes. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

/** The commands of a shell block as lists of words; comments, redirections and continued lines are dealt with. */
export function shellCommands(block: CodeBlock): { readonly line: number; readonly words: string[] }[] {
  const commands: { line: number; words: string[] }[] = [];
  for (const [index, content] of block.text.replaceAll("\\\n", " \u0000").split("\n").entries()) {
    let words: string[] = [];
    const finish = () => {
      if (words.length > 0) commands.push({ line: block.line + 1 + index, words });
      words = [];
    };
    for (const [token] of content.replaceAll("\u0000", "").matchAll(/"[^"]*"|'[^']*'|\S+/g)) {
      if (token.startsWith("#") || token.startsWith(">")) break;
      if (["&&", "||", "|", ";"].includes(token)) finish();
      else words.push(token.replace(/^(["'])(.*)\1$/, "$2"));
    }
    finish();
  }
  return commands;
}
