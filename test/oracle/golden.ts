/** Reads goldens (README of this folder) and measures how far results are from them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { HostTensor } from "../../src/io/host-tensor.js";
import { readSafetensors } from "../../src/io/safetensors.js";

const folder = join(import.meta.dirname, "..", "..", "..", "test", "oracle", "goldens");

/** Values in PyTorch's axis order. */
export type Values = ArrayLike<number>;

/** A row of recorded losses, and how far PyTorch's runs on two threads and in f64 are from each. */
interface LossRow {
  values: number[];
  spreads: number[];
  roundings: number[];
}

/** What PyTorch's runs disagree by: f32 on one thread and two, or f32 and f64. */
type Measure = "spread" | "rounding";

/** Which of `count` entries a golden keeps. */
function sampledIndex(j: number, count: number, kept: number): number {
  return kept === count ? j : (j * 2654435761 + 97) % count; // exact: j < 2^8, so the product is below 2^53
}

/** What PyTorch computed for one case. */
export class Golden {
  private constructor(
    readonly name: string,
    private readonly tensors: ReadonlyMap<string, HostTensor>,
    /** Tensors whose true gradient is zero: what stands there is rounding. */
    readonly zeroGradient: ReadonlySet<string>,
  ) {}

  /** Reads goldens/<name>.safetensors. */
  static async read(name: string): Promise<Golden> {
    const { tensors, metadata } = await readSafetensors(join(folder, `${name}.safetensors`));
    const { zero_gradient: zero } = JSON.parse(metadata.golden ?? "{}") as { zero_gradient?: unknown };
    assert.ok(Array.isArray(zero), `golden ${name} lacks zero_gradient`);
    return new Golden(name, tensors, new Set(zero.map(String)));
  }

  private get(key: string): HostTensor {
    const tensor = this.tensors.get(key);
    assert.ok(tensor, `golden ${this.name} lacks ${key}`);
    return tensor;
  }

  /** Tensor names under `prefix/`, those of zero gradient left out. */
  private names(prefix: string): string[] {
    return [...this.tensors.keys()]
      .filter((key) => key.startsWith(`value/${prefix}/`))
      .map((key) => key.slice(`value/${prefix}/`.length))
      .filter((name) => !this.zeroGradient.has(name));
  }

  /** Rows of a key that starts with `losses`, one per step. */
  losses(key = "losses"): LossRow[] {
    const value = this.get(`value/${key}`);
    const columns = value.shape.length === 2 ? (value.shape[1] ?? 1) : value.data.length;
    const row = (kind: "value" | Measure, i: number) =>
      Array.from(this.get(`${kind}/${key}`).data.slice(i * columns, (i + 1) * columns), Number);
    return Array.from({ length: value.data.length / columns }, (_, i) => ({
      values: row("value", i),
      spreads: row("spread", i),
      roundings: row("rounding", i),
    }));
  }

  /**
   * Throws when a loss is further off than `share` of its value (1e-4: the project's bound for training curves) and than
   * `factor` times what PyTorch's runs disagree by. Two runs drift apart with the steps, not anew in each of them: the largest
   * disagreement so far counts.
   */
  checkLosses(
    received: readonly (readonly number[])[],
    measure: Measure,
    factor: number,
    { key = "losses", share = 1e-4 }: { key?: string; share?: number } = {},
  ): void {
    const rows = this.losses(key);
    assert.equal(received.length, rows.length);
    const largest: number[] = [];
    for (const [t, row] of rows.entries())
      for (const [column, expected] of row.values.entries()) {
        const apart = (measure === "spread" ? row.spreads : row.roundings)[column] ?? 0;
        largest[column] = Math.max(largest[column] ?? 0, apart);
        const bound = Math.max(share * expected, factor * largest[column]);
        const own = received[t]?.[column] ?? Number.NaN;
        assert.ok(
          Math.abs(own - expected) <= bound,
          `${key} of step ${t}, column ${column}: expected ${expected} +- ${bound}, received ${own}`,
        );
      }
  }

  /** Largest and median, over the tensors under `prefix`, of what PyTorch's runs disagree by, relative to the norm. */
  disagreement(prefix: string): { largest: number; median: number } {
    const keys = this.names(prefix).map((name) => `${prefix}/${name}`);
    const apart = (measure: Measure, key: string) => Number(this.get(`${measure}/${key}`).data[0]);
    const sorted = (keys.length === 0 ? [prefix] : keys)
      .map((key) => Math.max(apart("spread", key), apart("rounding", key)))
      .sort((a, b) => a - b);
    return { largest: sorted.at(-1) ?? 0, median: sorted[sorted.length >> 1] ?? 0 };
  }

  /**
   * L2 distance of `values` to the golden relative to its norm: the larger of the difference of the norms and the
   * distance estimated from the kept entries (exact when all are kept).
   */
  private distance(key: string, values: Values): number {
    const { data } = this.get(`value/${key}`);
    const kept = data.length - 1;
    assert.ok(kept <= values.length, `${key}: expected at least ${kept} values, received ${values.length}`);
    let squares = 0;
    for (let i = 0; i < values.length; i++) squares += (values[i] ?? Number.NaN) ** 2;
    let apart = 0;
    for (let j = 0; j < kept; j++)
      apart += (Number(data[j + 1]) - (values[sampledIndex(j, values.length, kept)] ?? Number.NaN)) ** 2;
    const norm = Number(data[0]);
    return (
      Math.max(Math.abs(Math.sqrt(squares) - norm), Math.sqrt((apart * values.length) / kept)) /
      Math.max(norm, 1e-30)
    );
  }

  /** Throws when `values` are further than `bound` from the golden, relative to its norm. */
  check(key: string, values: Values, bound: number): void {
    const excess = this.excess(key, values, bound);
    assert.equal(excess, undefined, excess);
  }

  /** Checks every `wanted` tensor under `prefix/`; `values` gives it by its state-dict name. */
  checkAll(
    prefix: string,
    values: (name: string) => Values | undefined,
    bound: number,
    wanted: (name: string) => boolean = () => true,
  ): void {
    const faults: string[] = [];
    const names = this.names(prefix).filter(wanted);
    for (const name of names) {
      const found = findPart(name, values);
      assert.ok(found, `${prefix}/${name}: nothing to compare`);
      const excess = this.excess(`${prefix}/${name}`, found, bound);
      if (excess !== undefined) faults.push(excess);
    }
    assert.ok(names.length > 0, `golden ${this.name} has nothing under ${prefix}/`);
    assert.equal(faults.length, 0, `${faults.length} of ${names.length}:\n${faults.join("\n")}`);
  }

  /**
   * Throws unless the tensors under `prefix/` are those that are trained, and those of zero gradient the ones among
   * them that `zero` knows.
   */
  checkNames(prefix: string, trained: readonly string[], zero: RegExp): void {
    const [own, listed] = [this.names(prefix), [...this.zeroGradient]];
    const whole = new Set([...own, ...listed].map((name) => name.replace(/\[\w+\]$/, "")));
    assert.deepEqual([...whole].sort(), trained.toSorted());
    for (const name of own) assert.ok(!zero.test(name), `${name}: expected among those of zero gradient`);
    for (const name of listed) assert.ok(zero.test(name), `${name}: expected a gradient`);
  }

  /** Median over the tensors under `prefix/` of their distances. */
  medianDistance(prefix: string, values: (name: string) => Values | undefined): number {
    const sorted = this.names(prefix)
      .map((name) => this.distance(`${prefix}/${name}`, findPart(name, values) ?? []))
      .sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? Number.NaN;
  }

  private excess(key: string, values: Values, bound: number): string | undefined {
    const distance = this.distance(key, values);
    return distance <= bound ? undefined : `${key}: expected distance <= ${bound}, received ${distance}`;
  }
}

/** The tensor `name`; `...qkv.bias[key]` is the second third of `...qkv.bias`. */
function findPart(name: string, values: (name: string) => Values | undefined): Values | undefined {
  const [, base, part] = /^(.*)\[(query|key|value)\]$/.exec(name) ?? [];
  if (base === undefined || part === undefined) return values(name);
  const whole = values(base);
  if (whole === undefined) return undefined;
  const third = whole.length / 3;
  const begin = ["query", "key", "value"].indexOf(part) * third;
  return Array.from({ length: third }, (_, i) => whole[begin + i] ?? Number.NaN);
}
