import { type Command, commonFlags, exitCodeMeanings } from "./command.js";
import { flagHelp, usageLine } from "./parse.js";

/** The page docs/reference/cli.md: every command with its words, flags and examples, from the command modules. */
export function commandReference(commands: readonly Command[]): string {
  return `${[
    "# Command line",
    "Generated from `src/cli/commands`; do not edit. Results go to standard output, progress and errors to standard error.",
    ...commands.map(commandSection),
    "## Flags of every command",
    list(commonFlags.map((flag) => [`--${flag.name}`, flagHelp(flag)])),
    "## Exit codes",
    [
      "| Code | Meaning |",
      "| --- | --- |",
      ...exitCodeMeanings.map(([code, text]) => `| ${code} | ${text} |`),
    ].join("\n"),
  ].join("\n\n")}\n`;
}

function commandSection(command: Command): string {
  const { summary, positionals, call, flags, settings, examples } = command;
  const words = [
    ...[...positionals, ...(call === undefined ? [] : [call])].map(({ name, help }) => [name, help] as const),
    ...flags.map(
      (flag) => [`--${flag.name}`, `${flagHelp(flag)}${flag.required ? " (must be given)" : ""}`] as const,
    ),
  ];
  const isWhole = settings.length > 1;
  const settingWords = isWhole
    ? []
    : settings.map(({ flag, help, range }) => [`--${flag}`, `${help} (${range})`] as const);
  return [
    `## sfr ${usageLine(command)}`,
    `${summary}.`,
    ...(words.length + settingWords.length > 0 ? [list([...words, ...settingWords])] : []),
    ...(isWhole ? ["And a flag for every setting: see [Configuration](configuration.md)."] : []),
    ["```sh", ...examples.flatMap(([line, what]) => [`# ${what}`, line]), "```"].join("\n"),
  ].join("\n\n");
}

function list(rows: readonly (readonly [word: string, help: string])[]): string {
  return rows.map(([word, help]) => `- \`${word}\`: ${help}`).join("\n");
}
