import { DataError } from "../../errors.js";

/**
 * Class names by label id. nnU-Net 2 has name -> id, nnU-Net 1 and Decathlon id -> name: the type of the values tells.
 *
 * @param path of the file that holds them, for messages
 * @throws DataError when an id is no whole number, or stands for several classes or none
 */
export function labelNames(labels: Readonly<Record<string, unknown>>, path: string): Record<number, string> {
  const names: Record<number, string> = {};
  for (const [key, value] of Object.entries(labels)) {
    const [name, id] = typeof value === "string" && /^\d+$/.test(key) ? [value, Number(key)] : [key, value];
    if (name === "ignore" || Array.isArray(id)) {
      throw new DataError(
        `${path}: expected one id per label, received ${name === "ignore" ? "an 'ignore' label" : "regions"} ` +
          `('${name}'); give every voxel one class`,
      );
    }
    const number = typeof id === "string" && id !== "" ? Number(id) : id;
    if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
      throw new DataError(
        `${path}: expected a whole number for label '${name}', received ${JSON.stringify(id)}; correct the file`,
      );
    }
    names[number] = name;
  }
  return names;
}
