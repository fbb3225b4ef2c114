import { createHash } from "node:crypto";
import { UsageError } from "../errors.js";

/** A value that JSON can hold; settings and records are made of them. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/**
 * JSON text that is equal for equal content: keys sorted, no spaces, undefined members left out.
 *
 * @throws UsageError for NaN and infinities, which JSON cannot hold
 */
export function canonicalJson(value: JsonValue): string {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new UsageError(`canonicalJson: expected finite numbers, received ${value}; leave the key out`);
  }
  if (typeof value !== "object" || value === null) {
    return JSON.stringify(value);
  }
  if (isList(value)) {
    return `[${value.map(canonicalJson).join(",")}]`;
  }
  const members = definedMembers(value).map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(",")}}`;
}

/** What a stage's result depends on, as one word: SHA-256 of the canonical JSON, 64 hexadecimal digits. */
export function stageKey(value: JsonValue): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

/** The first difference between two values. */
export interface Difference {
  /** Keys from the root, joined by dots. */
  readonly key: string;
  readonly before: JsonValue | undefined;
  readonly now: JsonValue | undefined;
}

/** First key, in sorted order, whose content differs; undefined when the values are equal. */
export function firstDifference(
  before: JsonValue | undefined,
  now: JsonValue | undefined,
  key = "",
): Difference | undefined {
  if (isTree(before) && isTree(now) && isList(before) === isList(now)) {
    const [a, b] = [new Map(definedMembers(before)), new Map(definedMembers(now))];
    for (const name of [...new Set([...a.keys(), ...b.keys()])].sort()) {
      const difference = firstDifference(a.get(name), b.get(name), key === "" ? name : `${key}.${name}`);
      if (difference !== undefined) {
        return difference;
      }
    }
    return undefined;
  }
  const text = (value: JsonValue | undefined) => (value === undefined ? "" : canonicalJson(value));
  return text(before) === text(now) ? undefined : { key, before, now };
}

function definedMembers(value: object): [string, JsonValue][] {
  const members = Object.entries(value).filter(
    (member): member is [string, JsonValue] => member[1] !== undefined,
  );
  return members.sort(([a], [b]) => (a < b ? -1 : 1));
}

function isTree(value: JsonValue | undefined): value is Extract<JsonValue, object> {
  return typeof value === "object" && value !== null;
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}
