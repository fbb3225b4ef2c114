import type { JsonValue } from "../io/stage-key.js";
import { armSettingList, type Setting, settings } from "./settings.js";

const groupTitles: Readonly<Record<string, string>> = {
  "": "The run",
  data: "data: which volumes",
  preprocess: "preprocess: what is done to volumes before the network sees them",
  sam: "sam: the network of stage 2",
  finetune: "finetune: stage 2",
  segmenter: "segmenter: the network of stage 3",
  retrain: "retrain: stage 3",
  exchange: "exchange: SFR+",
  predict: "predict: labelling test cases",
};

/** The page docs/reference/configuration.md: every setting with type, default, range and flag, from the schemas. */
export function configurationReference(): string {
  const groups = [...new Set(settings.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const rows = settings.filter((setting) => setting.group === group);
    return `## ${groupTitles[group] ?? group}\n\n${settingsTable(rows, group, true)}`;
  });
  return `${[
    "# Configuration",
    "Generated from `src/config/schema.ts`; do not edit. A configuration is a YAML file. Groups are keys of the file, their " +
      "settings the keys below them. A flag overrides the file. An unknown key is an error that names the nearest one. " +
      "Relative paths start at the working directory. Lengths in voxels are x, y, z.",
    ...sections,
    "## arms: what to train and compare",
    "A list; each arm has these keys. Only the file can hold it.",
    settingsTable(armSettingList, "arms[]", false),
  ].join("\n\n")}\n`;
}

function settingsTable(rows: readonly Setting[], group: string, hasFlags: boolean): string {
  const head = ["Setting", ...(hasFlags ? ["Flag"] : []), "Values", "Default", "What it is"];
  const lines = rows.map((setting) =>
    [
      `\`${group === "" ? setting.path : setting.path.slice(group.length + 1)}\``,
      ...(hasFlags ? [`\`--${setting.flag}\``] : []),
      setting.range + (setting.nullable ? ", null" : ""),
      defaultText(setting.default),
      setting.help.replaceAll("|", "\\|"),
    ].join(" | "),
  );
  return [head.join(" | "), head.map(() => "---").join(" | "), ...lines]
    .map((line) => `| ${line} |`)
    .join("\n");
}

function defaultText(value: JsonValue | undefined): string {
  return value === undefined ? "must be given" : `\`${JSON.stringify(value).replaceAll('"', "")}\``;
}
