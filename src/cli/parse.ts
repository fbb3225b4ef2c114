import yargs, { type Argv } from "yargs";
import { nearestName } from "../config/nearest-name.js";
import type { Setting } from "../config/settings.js";
import { UsageError } from "../errors.js";
import { version } from "../version.js";
import { type Arguments, type Command, commonFlags, exitCodeMeanings, type Flag } from "./command.js";

type Given = Readonly<Record<string, unknown>>;

/** A command with its arguments. */
export interface Invocation {
  readonly command: Command;
  readonly args: Arguments;
}

/** How wide help is when standard output is no terminal, in characters. */
const plainWidth = 110;

/**
 * Reads a command line.
 *
 * @returns what to run, or undefined when help or the version was asked for and printed
 * @throws UsageError for an unknown command or flag (with the nearest one), a missing or surplus argument
 */
export async function parseCommandLine(
  commands: readonly Command[],
  line: readonly string[],
): Promise<Invocation | undefined> {
  let chosen: Invocation | undefined;
  const end = line.includes("--") ? line.indexOf("--") : line.length;
  const call = line.slice(end + 1);
  const parser = yargs(line.slice(0, end))
    .scriptName("sfr")
    .usage("$0 <command>\n\nFrom a few labelled and many unlabelled volumes to a 3D segmenter.")
    .locale("en")
    .parserConfiguration({
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    })
    .strict()
    .strictCommands()
    .demandCommand(1, "expected a command, received none; `sfr --help` lists them")
    .version(version)
    .help()
    .alias("help", "h")
    .epilogue(`Exit codes: ${exitCodeMeanings.map(([code, meaning]) => `${code} ${meaning}`).join("; ")}.`)
    .wrap(Math.min(plainWidth, process.stdout.columns ?? plainWidth))
    .exitProcess(false)
    // Problems are thrown, not printed: there is one place that words errors.
    .fail(false);
  for (const command of commands) {
    parser.command({
      command: usageLine({ ...command, call: undefined }),
      describe: command.summary,
      builder: (inner) => declare(inner, command),
      handler: (argv) => {
        if (call.length > 0 && command.call === undefined) throw new Error(`Unknown argument: ${call[0]}`);
        chosen = { command, args: readArguments(command, argv, call) };
      },
    });
  }
  try {
    await parser.parseAsync();
  } catch (error) {
    // Nothing of ours runs in there, so whatever comes out is about the command line.
    throw error instanceof Error ? explain(error, commands, line) : error;
  }
  return chosen;
}

/** `predict <inputs..>`. */
export function usageLine(command: Command): string {
  const words = command.positionals.map(({ name, count }) =>
    count === "many" ? `<${name}..>` : count === "one" ? `<${name}>` : `[${name}]`,
  );
  const call = command.call === undefined ? [] : ["--", `<${command.call.name}>`];
  return [command.name, ...words, ...call].join(" ");
}

/** Help text of a setting's flag: what it is, what is allowed, what it is by default. */
function settingHelp(setting: Setting): string {
  const fallback = setting.default === undefined ? "" : `; default ${JSON.stringify(setting.default)}`;
  return `${setting.help} [${setting.range}${setting.nullable ? ", null" : ""}${fallback}]`;
}

/** Help text of another flag. */
export function flagHelp(flag: Flag): string {
  return flag.default === undefined ? flag.help : `${flag.help} [default ${flag.default}]`;
}

function declare(parser: Argv, command: Command): Argv {
  for (const { name, help, count } of command.positionals) {
    parser.positional(name, { describe: help, type: "string", ...(count === "many" ? { array: true } : {}) });
  }
  for (const flag of flagsOf(command)) {
    const isBoolean = flag.kind === "boolean";
    parser.option(flag.name, {
      describe: flagHelp(flag),
      ...(isBoolean ? { type: "boolean" } : { type: "string", requiresArg: true }),
      ...(flag.required ? { demandOption: true } : {}),
    });
  }
  for (const setting of command.settings) {
    parser.option(setting.flag, {
      describe: settingHelp(setting),
      group: setting.group === "" ? "Settings:" : `Settings, ${setting.group}:`,
      ...(setting.kind === "boolean" ? { type: "boolean" } : { type: "string", requiresArg: true }),
    });
  }
  for (const [line, what] of command.examples) parser.example(line, what);
  return parser;
}

function readArguments(command: Command, argv: Given, call: readonly string[]): Arguments {
  const overrides = command.settings
    .filter((setting) => argv[setting.flag] !== undefined)
    .map((setting) => [setting.path, argv[setting.flag]] as const);
  const optional = (name: string): string | undefined => {
    const value = argv[name];
    if (Array.isArray(value)) {
      throw new UsageError(`--${name}: expected one value, received ${value.length}; give the flag once`);
    }
    return value === undefined ? undefined : String(value);
  };
  return {
    optional,
    text: (name) => {
      const value = optional(name);
      if (value === undefined)
        throw new UsageError(`sfr ${command.name}: expected a value for ${name}, received none`);
      return value;
    },
    many: (name) => {
      const value = argv[name];
      return Array.isArray(value) ? value.map(String) : [];
    },
    is: (name) => argv[name] === true,
    integer: (name, minimum) => {
      const text = optional(name);
      if (text === undefined) return undefined;
      const value = Number(text);
      if (!Number.isSafeInteger(value) || value < minimum || text.trim() === "") {
        throw new UsageError(
          `--${name}: expected an integer >= ${minimum}, received '${text}'; correct the value`,
        );
      }
      return value;
    },
    call,
    overrides: Object.fromEntries(overrides),
  };
}

/** Turns a problem that yargs found into a sentence with the cure. */
function explain(error: Error, commands: readonly Command[], line: readonly string[]): UsageError {
  const command = commands.find(({ name }) => line.includes(name));
  const where = command?.name ?? "sfr";
  const cure = `see \`sfr ${command === undefined ? "" : `${command.name} `}--help\``;
  const text = error.message.trim();
  const unknown = /^Unknown (?:argument|command)s?: (.+)$/.exec(text)?.[1]?.split(", ")[0];
  if (unknown !== undefined && command === undefined) {
    const names = commands.map(({ name }) => name);
    const word = line.find((item) => !item.startsWith("-")) ?? unknown;
    const nearest = nearestName(word, names);
    return new UsageError(
      `${where}: expected one of ${names.join(", ")} for the command, received '${word}'; ` +
        (nearest === null ? cure : `did you mean '${nearest}'?`),
      { cause: error },
    );
  }
  if (unknown !== undefined && command !== undefined) {
    const isFlag = line.some((item) => item.split("=")[0] === `--${unknown}` || item === `-${unknown}`);
    const nearest = isFlag ? nearestName(unknown, flagNames(command)) : null;
    const received = isFlag ? `the unknown flag '--${unknown}'` : `the surplus word '${unknown}'`;
    const hint = nearest === null ? cure : `did you mean '--${nearest}'?`;
    return new UsageError(`${where}: expected known flags and words, received ${received}; ${hint}`, {
      cause: error,
    });
  }
  if (text.startsWith("expected")) return new UsageError(`sfr: ${text}`, { cause: error });
  const missing = /^Missing required arguments?: (.+)$/.exec(text)?.[1];
  const few = /^Not enough non-option arguments: got (\d+), need at least (\d+)$/.exec(text);
  const valueless = /^Not enough arguments following: (.+)$/.exec(text)?.[1];
  const sentence =
    missing !== undefined
      ? `expected --${missing.split(", ").join(", --")}, received none`
      : few !== null
        ? `expected ${command === undefined ? "arguments" : `\`sfr ${usageLine(command)}\``}, received ${few[1]} of ${few[2]} words`
        : valueless !== undefined
          ? `expected a value for --${valueless}, received none`
          : text.replace(/\.$/, "").replace(/\n+/g, " ");
  return new UsageError(`${where}: ${sentence}; ${cure}`, { cause: error });
}

function flagNames(command: Command): string[] {
  const settings = command.settings.map(({ flag }) => flag);
  return flagsOf(command)
    .map(({ name }) => name)
    .concat(settings);
}

/** Flags of a command and those of every command; its own meaning of a common name wins. */
export function flagsOf(command: Command): Flag[] {
  return [
    ...command.flags,
    ...commonFlags.filter(({ name }) => !command.flags.some((own) => own.name === name)),
  ];
}
