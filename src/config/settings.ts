import { z } from "zod";
import type { JsonValue } from "../io/stage-key.js";
import { configSchema } from "./schema.js";

/**
 * What a value of a setting looks like. `choices`: several words of a choice; `tuple`: so many numbers, such as x,y,z, or
 * a word; `cases`: a count, `all` or ids; `map`: pairs 4:1,2:0.
 */
export type SettingKind =
  | "integer"
  | "number"
  | "boolean"
  | "choice"
  | "choices"
  | "text"
  | "tuple"
  | "cases"
  | "map";

/** One setting, as flags, messages and the reference page need it; made from the schemas. */
export interface Setting {
  /** Keys from the root, joined by a dot: `finetune.steps`. */
  readonly path: string;
  /** Group of the configuration file; empty for keys of the root. */
  readonly group: string;
  /** Command-line flag without dashes: `finetune-steps`. */
  readonly flag: string;
  readonly kind: SettingKind;
  /** Whether null is a value too. */
  readonly nullable: boolean;
  /** Allowed words of a choice or of choices. */
  readonly choices: readonly string[];
  /** What is allowed, in words: `integer >= 1`. */
  readonly range: string;
  /** Undefined when the setting must be given. */
  readonly default: JsonValue | undefined;
  readonly help: string;
}

/** The parts of JSON Schema that our schemas use. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly prefixItems?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly items?: Schema | boolean;
  readonly default?: JsonValue;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
}

/** Flags that are not the dashed path: the words every command shares. */
const flagNames: Readonly<Record<string, string>> = { "data.root": "data" };

/** Groups that only the file can hold, since they are lists. */
const fileOnly = new Set(["arms"]);

/** Every setting that a flag can give, in the order of the schemas. */
export const settings: readonly Setting[] = collect();

/** The settings of one element of `arms`; the file alone holds them. */
export const armSettingList: readonly Setting[] = Object.entries(armSchema().properties ?? {}).map(
  ([key, schema]) => describe("arms[]", key, schema),
);

/** The JSON Schema of the configuration file. */
function rootSchema(): Schema {
  return z.toJSONSchema(configSchema, { io: "input" }) as Schema;
}

function armSchema(): Schema {
  const items = rootSchema().properties?.arms?.items;
  return typeof items === "object" ? items : {};
}

function collect(): Setting[] {
  return Object.entries(rootSchema().properties ?? {}).flatMap(([key, schema]) => {
    if (fileOnly.has(key)) return [];
    if (schema.properties === undefined) return [describe("", key, schema)];
    return Object.entries(schema.properties).map(([inner, item]) => describe(key, inner, item));
  });
}

function describe(group: string, key: string, schema: Schema): Setting {
  const path = group === "" ? key : `${group}.${key}`;
  const plain = withoutNull(schema);
  const kind = kindOf(plain);
  return {
    path,
    group,
    flag:
      flagNames[path] ?? path.replaceAll(".", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    kind,
    nullable: plain !== schema,
    choices: wordsOf(plain),
    range: rangeOf(kind, plain),
    default: schema.default,
    help: schema.description ?? plain.description ?? "",
  };
}

/** The schema of the values other than null; the schema itself when null is not allowed. */
function withoutNull(schema: Schema): Schema {
  if (Array.isArray(schema.type)) {
    return { ...schema, type: schema.type.find((type: string) => type !== "null") ?? "string" };
  }
  const isNull = (item: Schema) => item.type === "null";
  if (schema.anyOf?.some(isNull)) return schema.anyOf.find((item) => !isNull(item)) ?? schema;
  return schema;
}

/** Allowed words of a choice, or of the elements of a list of them. */
function wordsOf(schema: Schema): readonly string[] {
  return schema.enum ?? (typeof schema.items === "object" ? (schema.items.enum ?? []) : []);
}

function kindOf(schema: Schema): SettingKind {
  if (schema.enum !== undefined) return "choice";
  if (wordsOf(schema).length > 0) return "choices";
  if (tupleOf(schema) !== undefined) return "tuple";
  if (schema.anyOf !== undefined) return "cases";
  if (typeof schema.additionalProperties === "object") return "map";
  const kind = schema.type;
  return kind === "integer" || kind === "number" || kind === "boolean" ? kind : "text";
}

/** What stands in a tuple; undefined for other values. */
function tupleOf(schema: Schema): readonly Schema[] | undefined {
  return schema.prefixItems ?? schema.anyOf?.find((item) => item.prefixItems !== undefined)?.prefixItems;
}

function tupleRange(schema: Schema): string {
  const items = tupleOf(schema) ?? [];
  const [first] = items;
  const count = items.length === 3 ? "three" : "two";
  const what = first?.type === "integer" ? "integers" : "numbers";
  const names = items.length === 3 ? " x, y, z" : "";
  return [`${count} ${what}${names}${bounds(first ?? {})}`, ...constants(schema)].join(", ");
}

/** Words that stand beside other values. */
function constants(schema: Schema): string[] {
  return schema.anyOf?.flatMap((item) => (item.const === undefined ? [] : [item.const])) ?? [];
}

function rangeOf(kind: SettingKind, schema: Schema): string {
  if (kind === "choice") return wordsOf(schema).join(", ");
  if (kind === "choices") return `list of ${wordsOf(schema).join(", ")}`;
  if (kind === "tuple") return tupleRange(schema);
  if (kind === "map") return "pairs of label ids, or an id and ignore";
  if (kind === "cases") {
    const count = schema.anyOf?.find((item) => item.type === "integer");
    return [`integer >= ${count?.minimum ?? 0}`, ...constants(schema), "list of ids"].join(", ");
  }
  if (kind === "boolean") return "true, false";
  return kind === "text" ? "text" : `${kind}${bounds(schema)}`;
}

/** ` >= 1, <= 64`; empty without a bound. */
function bounds(schema: Schema): string {
  const isBound = (value: number | undefined) =>
    // Zod writes the largest safe integers where no bound was set.
    value !== undefined && Math.abs(value) !== Number.MAX_SAFE_INTEGER;
  const parts = [
    ...(schema.exclusiveMinimum === undefined ? [] : [`> ${schema.exclusiveMinimum}`]),
    ...(isBound(schema.minimum) ? [`>= ${schema.minimum}`] : []),
    ...(isBound(schema.maximum) ? [`<= ${schema.maximum}`] : []),
    ...(schema.exclusiveMaximum === undefined ? [] : [`< ${schema.exclusiveMaximum}`]),
    ...(schema.multipleOf === undefined ? [] : [`multiple of ${schema.multipleOf}`]),
  ];
  return parts.length === 0 ? "" : ` ${parts.join(", ")}`;
}
