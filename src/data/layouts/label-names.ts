import { DataError } from "../../errors.js";
import type { CaseLists } from "./layout.js";

/**
 * Class names by label id; what is named `ignore` is no class (nnU-Net). nnU-Net 2 has name -> id, nnU-Net 1 and
 * Decathlon id -> name: the type of the values tells.
 *
 * @param path of the file that holds them, for messages
 * @throws DataError when an id is no whole number, or stands for several classes or none
 */
export function namedLabels(
  labels: Readonly<Record<string, unknown>>,
  path: string,
): Pick<CaseLists, "labels" | "ignore"> {
  const names: Record<number, string> = {};
  let ignore: number | undefined;
  for (const [key, value] of Object.entries(labels)) {
    const [name, id] = typeof value === "string" && /^\d+$/.test(key) ? [value, Number(key)] : [key, value];
    if (Array.isArray(id)) {
      throw new DataError(
        `${path}: expected one id per label, received regions ('${name}'); give every voxel one class`,
      );
    }
    const number = typeof id === "string" && id !== "" ? Number(id) : id;
    if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
      throw new DataError(
        `${path}: expected a whole number for label '${name}', received ${JSON.stringify(id)}; correct the file`,
      );
    }
    if (name === "ignore") ignore = number;
    else names[number] = name;
  }
  return { labels: names, ...(ignore !== undefined && { ignore }) };
}
