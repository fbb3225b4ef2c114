import { z } from "zod";
import type { JsonValue } from "../run/stage-key.js";
import { configSchema } from "./schema.js";

/**
 * What a value of a setting looks like. `choices`: several words of a choice; `voxels`: three integers x,y,z; `cases`: a
 * count, `all` or ids.
 */
export type SettingKind =
  | "integer"
  | "number"
  | "boolean"
  | "choice"
  | "choices"
  | "text"
  | "voxels"
  | "cases";

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
  if (schema.prefixItems !== undefined) return "voxels";
  if (schema.anyOf !== undefined) return "cases";
  const kind = schema.type;
  return kind === "integer" || kind === "number" || kind === "boolean" ? kind : "text";
}

function rangeOf(kind: SettingKind, schema: Schema): string {
  if (kind === "choice") return wordsOf(schema).join(", ");
  if (kind === "choices") return `list of ${wordsOf(schema).join(", ")}`;
  if (kind === "voxels") return `three integers x, y, z >= ${schema.prefixItems?.[0]?.minimum ?? 1}`;
  if (kind === "cases") {
    const count = schema.anyOf?.find((item) => item.type === "integer");
    const words = schema.anyOf?.flatMap((item) => (item.const === undefined ? [] : [item.const])) ?? [];
    return [`integer >= ${count?.minimum ?? 0}`, ...words, "list of ids"].join(", ");
  }
  if (kind === "boolean") return "true, false";
  if (kind === "text") return "text";
  const bounds = [
    ...(schema.exclusiveMinimum === undefined ? [] : [`> ${schema.exclusiveMinimum}`]),
    ...(schema.minimum === undefined ? [] : [`>= ${schema.minimum}`]),
    // Zod writes the largest safe integer where no bound was set.
    ...(schema.maximum === undefined || schema.maximum === Number.MAX_SAFE_INTEGER
      ? []
      : [`<= ${schema.maximum}`]),
    ...(schema.exclusiveMaximum === undefined ? [] : [`< ${schema.exclusiveMaximum}`]),
    ...(schema.multipleOf === undefined ? [] : [`multiple of ${schema.multipleOf}`]),
  ];
  return [kind, bounds.join(", ")].filter((part) => part !== "").join(" ");
}
