import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { dirname, join } from "node:path";

/** What is looked at to say what this machine offers. */
export interface Machine {
  /** Folder that stands for `/`. */
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What a program prints; undefined when there is none or it fails. */
  run(program: string, ...args: string[]): string | undefined;
}

export const thisMachine: Machine = {
  root: "/",
  env: process.env,
  run(program, ...args) {
    const { status, stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 10_000 });
    return status === 0 ? stdout : undefined;
  },
};

/** A CUDA card. */
export interface Card {
  readonly index: number;
  readonly name: string;
  /** Compute capability, such as 9.0. */
  readonly capability: string;
}

/** Version of the NVIDIA driver; undefined when there is none. */
export function driverVersion(machine: Machine): string | undefined {
  const told = textOf(join(machine.root, "proc/driver/nvidia/version"));
  return (
    /^NVRM version:.*?\s(\d+\.\d+[.\d]*)\s/m.exec(told ?? "")?.[1] ??
    machine.run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")?.split("\n")[0]?.trim()
  );
}

/** The cards that the driver's own program lists, numbered as CUDA_VISIBLE_DEVICES lets a process see them. */
export function cards(machine: Machine): Card[] {
  const table =
    machine.run("nvidia-smi", "--query-gpu=index,name,compute_cap", "--format=csv,noheader") ?? "";
  const all = table.split("\n").flatMap((line) => {
    const [index, name, capability] = line.split(",").map((cell) => cell.trim());
    return name === undefined || capability === undefined ? [] : [{ index: Number(index), name, capability }];
  });
  const visible = machine.env.CUDA_VISIBLE_DEVICES?.split(",").map((text) => text.trim());
  if (visible === undefined) return all;
  return visible.flatMap((number, index) => {
    const card = all.find((candidate) => String(candidate.index) === number);
    return card === undefined ? [] : [{ ...card, index }];
  });
}

/** Major versions of CUDA whose runtime the loader would find, rising. */
export function cudaMajors(machine: Machine): number[] {
  const majors = libraryFolders(machine)
    .flatMap(namesIn)
    .flatMap((name) => /^libcudart\.so\.(\d+)$/.exec(name)?.[1] ?? []);
  return [...new Set(majors.map(Number))].sort((a, b) => a - b);
}

/** Whether the loader would find a library. */
export function hasLibrary(machine: Machine, name: string): boolean {
  return libraryFolders(machine).some((folder) => existsSync(join(folder, name)));
}

/** Path of ONNX Runtime's CUDA provider beside its library; undefined when one of its two files is missing. */
export function cudaProvider(library: string): string | undefined {
  const [shared, cuda] = ["shared", "cuda"].map((name) =>
    join(dirname(library), `libonnxruntime_providers_${name}.so`),
  );
  return shared !== undefined && cuda !== undefined && existsSync(shared) && existsSync(cuda)
    ? cuda
    : undefined;
}

/** The CUDA major that a provider's file was built for; undefined when it does not say. */
export function cudaMajorOf(provider: string): number | undefined {
  // The names of the libraries that a file needs stand in it as text, mostly near its beginning.
  const file = openSync(provider, "r");
  try {
    const piece = Buffer.alloc(2 ** 20);
    let tail = "";
    for (let count = readSync(file, piece); count > 0; count = readSync(file, piece)) {
      const text = tail + piece.toString("latin1", 0, count);
      const major = /libcudart\.so\.(\d+)\0/.exec(text)?.[1];
      if (major !== undefined) return Number(major);
      tail = text.slice(-32);
    }
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** CPUs that the process's control group allows (version 2, then 1); undefined when there is no limit. */
export function cgroupCpus({ root }: Machine): number | undefined {
  const group = (path: string) => textOf(join(root, "sys/fs/cgroup", path))?.trim();
  const [quota, period] = group("cpu.max")?.split(" ") ?? [
    group("cpu/cpu.cfs_quota_us"),
    group("cpu/cpu.cfs_period_us"),
  ];
  const cpus = Number(quota) / Number(period);
  return cpus > 0 ? cpus : undefined;
}

/** Folders in which the loader looks for libraries. */
function libraryFolders({ root, env }: Machine): string[] {
  const lists = join(root, "etc/ld.so.conf.d");
  const configured = namesIn(lists).flatMap((name) => (textOf(join(lists, name)) ?? "").split("\n"));
  const architecture = process.arch === "arm64" ? "aarch64" : "x86_64";
  return [
    ...(env.LD_LIBRARY_PATH ?? "").split(":"),
    ...[...configured, `/usr/lib/${architecture}-linux-gnu`, "/usr/lib64", "/usr/lib", "/usr/local/lib"]
      .filter((folder) => folder.startsWith("/"))
      .map((folder) => join(root, folder)),
  ].filter((folder) => folder !== "");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
