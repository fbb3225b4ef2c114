import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { DeviceError } from "../../src/errors.js";
import { findOnnxRuntimeParts } from "../../src/onnxruntime/findings.js";
import { cards, cgroupCpus, driverVersion, type Machine } from "../../src/onnxruntime/machine.js";
import { findPackage } from "../../src/onnxruntime/package.js";

const scratch = mkdtempSync(join(tmpdir(), "sfr-machine-"));
after(() => rmSync(scratch, { recursive: true }));

interface Fake {
  /** Content by path. */
  files?: Readonly<Record<string, string>>;
  /** Lines of nvidia-smi: index, name, compute capability. */
  cards?: string;
  env?: Readonly<Record<string, string>>;
}

function machine({ files = {}, cards: table, env = {} }: Fake): Machine {
  const root = mkdtempSync(join(scratch, "root-"));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return { root, env, run: (_, query = "") => (query.includes("compute_cap") ? table : undefined) };
}

const driver = (version: string) => ({
  "proc/driver/nvidia/version": `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  ${version}  Release Build\nGCC version: 12\n`,
  "usr/lib64/libcuda.so.1": "",
});
const cuda = (major: number) => ({
  [`usr/local/cuda/lib64/libcudart.so.${major}`]: "",
  "usr/local/cuda/lib64/libcudnn.so.9": "",
  "etc/ld.so.conf.d/cuda.conf": "# CUDA\n/usr/local/cuda/lib64\n",
});

/** A folder with ONNX Runtime, and its CUDA provider for a major version of CUDA. */
function runtime(providerFor?: number) {
  const folder = mkdtempSync(join(scratch, "ort-"));
  if (providerFor !== undefined) {
    writeFileSync(join(folder, "libonnxruntime_providers_shared.so"), "");
    // The name lies across the border of two pieces that are read.
    const text = `${"\0".repeat(2 ** 20 - 5)}libcudart.so.${providerFor}\0libcuda.so.1\0`;
    writeFileSync(join(folder, "libonnxruntime_providers_cuda.so"), text);
  }
  return { version: "1.30.0", library: join(folder, "libonnxruntime.so.1") };
}

const loads = () => ({ version: "1.30.0", providers: ["CUDAExecutionProvider", "CPUExecutionProvider"] });
const h200 = "0, NVIDIA H200, 9.0\n";

describe("what doctor finds for ONNX Runtime", () => {
  it("no ONNX Runtime: how to install it", () => {
    assert.equal(findPackage(join(scratch, "module.js")), undefined);
    const { facts, advice } = findOnnxRuntimeParts(machine({}), undefined, loads);
    assert.equal(facts["ONNX Runtime"], null);
    assert.match(advice.join("\n"), /^For --engine onnx: run `npm install onnxruntime-node@1\.30 /);
  });

  it("one that does not load: why", () => {
    const fails = () => {
      throw new DeviceError('onnxruntime: expected it to load, received "GLIBC_2.28 not found"');
    };
    const { facts, advice } = findOnnxRuntimeParts(machine({}), runtime(), fails);
    assert.match(String(facts["ONNX Runtime"]), /GLIBC_2\.28/);
    assert.equal(advice.length, 1);
  });

  it("a machine without a card: nothing to do", () => {
    const { facts, advice, usable } = findOnnxRuntimeParts(machine({}), runtime(), loads);
    assert.match(String(facts["ONNX Runtime"]), /^1\.30\.0 \(built with CUDA, CPU\), /);
    assert.deepEqual([facts["CUDA provider"], facts["NVIDIA driver"], facts.CUDA], [null, null, null]);
    assert.deepEqual([advice, usable], [[], []]);
  });

  it("a card, no provider: how to get one", () => {
    const at = machine({ files: { ...driver("580.65.06"), ...cuda(13) }, cards: h200 });
    assert.match(findOnnxRuntimeParts(at, runtime(), loads).advice.join("\n"), /CUDA provider is missing/);
  });

  it("all there: a usable card", () => {
    const at = machine({ files: { ...driver("580.65.06"), ...cuda(13) }, cards: h200 });
    const { facts, advice, usable } = findOnnxRuntimeParts(at, runtime(13), loads);
    assert.deepEqual(advice, []);
    assert.deepEqual(usable, [{ index: 0, name: "NVIDIA H200", capability: "9.0" }]);
    assert.match(String(facts["CUDA provider"]), /, needs CUDA 13$/);
    assert.deepEqual([facts["NVIDIA driver"], facts.CUDA], ["580.65.06", "13"]);
  });

  it("a provider, no driver", () => {
    const { advice, usable } = findOnnxRuntimeParts(machine({ files: cuda(13) }), runtime(13), loads);
    assert.deepEqual(advice, ["For --device cuda: install the NVIDIA driver, 580 or newer"]);
    assert.deepEqual(usable, []);
  });

  it("a driver that is too old", () => {
    const at = machine({ files: { ...driver("535.104.05"), ...cuda(13) }, cards: h200 });
    const { advice, usable } = findOnnxRuntimeParts(at, runtime(13), loads);
    assert.match(advice.join("\n"), /CUDA 13 needs driver 580 or newer, this is 535\.104\.05/);
    assert.deepEqual(usable, []);
    const older = findOnnxRuntimeParts(
      machine({ files: { ...driver("535.104.05"), ...cuda(12) } }),
      runtime(12),
      loads,
    );
    assert.deepEqual(older.advice, []);
  });

  it("another major version of CUDA, and no cuDNN", () => {
    const files = { ...driver("580.65.06"), "lib12/libcudart.so.12": "" };
    const at = machine({ files, cards: h200 });
    const inPath: Machine = { ...at, env: { LD_LIBRARY_PATH: join(at.root, "lib12") } };
    const { facts, advice, usable } = findOnnxRuntimeParts(inPath, runtime(13), loads);
    assert.equal(facts.CUDA, "12");
    assert.match(advice[0] ?? "", /the provider needs CUDA 13, 12 is there; install/);
    assert.match(advice[1] ?? "", /cuDNN 9/);
    assert.deepEqual(usable, []);
  });

  it("a card that the provider has no code for", () => {
    const table =
      "0, NVIDIA H200, 9.0\n1, NVIDIA B200, 10.0\n2, Tesla V100, 7.0\n3, GeForce RTX 5090, 12.1\n";
    const at = machine({ files: { ...driver("580.65.06"), ...cuda(13) }, cards: table });
    const { advice, usable } = findOnnxRuntimeParts(at, runtime(13), loads);
    assert.deepEqual(
      usable.map(({ index }) => index),
      [0, 3],
    );
    assert.equal(advice.length, 2);
    assert.match(advice[0] ?? "", /^GPU 1, NVIDIA B200: .* no code for compute capability 10\.0/);
  });

  it("a container that does not see the driver's library", () => {
    const { "usr/lib64/libcuda.so.1": _, ...kernelOnly } = driver("580.65.06");
    const at = machine({ files: { ...kernelOnly, ...cuda(13) } });
    assert.match(findOnnxRuntimeParts(at, runtime(13), loads).advice.join(), /make libcuda\.so\.1 visible/);
  });
});

describe("looks at a machine", () => {
  it("numbers cards as a process sees them", () => {
    const table = "0, A, 9.0\n1, B, 8.0\n2, C, 8.6\n";
    const at = machine({ cards: table, env: { CUDA_VISIBLE_DEVICES: "2,0" } });
    assert.deepEqual(
      cards(at).map(({ index, name }) => [index, name]),
      [
        [0, "C"],
        [1, "A"],
      ],
    );
  });

  it("reads the limits of control groups of version 2 and 1", () => {
    const v1 = {
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    };
    assert.equal(cgroupCpus(machine({ files: { "sys/fs/cgroup/cpu.max": "200000 100000\n" } })), 2);
    assert.equal(cgroupCpus(machine({ files: { "sys/fs/cgroup/cpu.max": "max 100000\n" } })), undefined);
    assert.equal(cgroupCpus(machine({ files: v1 })), 1.5);
    assert.equal(cgroupCpus(machine({})), undefined);
  });

  it("reads the driver's version from either kernel module", () => {
    const files = {
      "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  525.60.13  Wed Nov 30\n",
    };
    assert.equal(driverVersion(machine({ files })), "525.60.13");
    assert.equal(driverVersion(machine({ files: driver("580.65.06") })), "580.65.06");
    assert.equal(driverVersion(machine({})), undefined);
  });
});
