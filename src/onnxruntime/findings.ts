import { messageOf } from "../error-text.js";
import type { OnnxRuntimeInfo } from "../native/native.js";
import {
  type Card,
  cards,
  cudaMajorOf,
  cudaMajors,
  cudaProvider,
  driverVersion,
  hasLibrary,
  type Machine,
} from "./machine.js";
import { installCure, type OnnxRuntimePackage } from "./package.js";

/** What was found of ONNX Runtime and CUDA, by the names that `sfr doctor` shows, and what to do about it. */
export interface Findings {
  readonly facts: Readonly<Record<string, string | null>>;
  /** What to install for `--engine onnx`, and for CUDA in it where there is a card or a provider. */
  readonly advice: readonly string[];
  /** Cards that ONNX Runtime can use. */
  readonly usable: readonly Card[];
}

/** Least driver for a major version of CUDA. */
const leastDriver: Readonly<Record<number, number>> = { 12: 525, 13: 580 };
/** Compute capabilities that the CUDA 13 provider of 1.30 has machine code for; it has none that a driver could translate. */
const providerCode = ["7.5", "8.0", "8.6", "8.9", "9.0", "12.0"];

/**
 * Looks for what ONNX Runtime needs.
 *
 * @param found the package, if it is installed
 * @param ask what a library says of itself, throws when it does not load; absent where nothing can be loaded
 */
export function findOnnxRuntimeParts(
  machine: Machine,
  found: OnnxRuntimePackage | undefined,
  ask?: (library: string) => OnnxRuntimeInfo,
): Findings {
  const cuda = findCuda(machine);
  const facts: Record<string, string | null> = {
    "ONNX Runtime": null,
    "CUDA provider": null,
    "NVIDIA driver": cuda.driver ?? null,
    CUDA: cuda.majors.length === 0 ? null : cuda.majors.join(", "),
  };
  if (found === undefined) return { facts, advice: [`For --engine onnx: ${installCure}`], usable: [] };
  try {
    facts["ONNX Runtime"] = `${versionOf(found, ask?.(found.library))}, ${found.library}`;
  } catch (error) {
    facts["ONNX Runtime"] = messageOf(error);
    return { facts, advice: [`For --engine onnx: ${installCure}`], usable: [] };
  }
  const provider = cudaProvider(found.library);
  const major = provider === undefined ? undefined : cudaMajorOf(provider);
  if (provider !== undefined)
    facts["CUDA provider"] = `${provider}, needs CUDA ${major ?? "of an unknown version"}`;
  const hasCard = cuda.driver !== undefined || cuda.cards.length > 0;
  if (provider === undefined)
    return { facts, advice: hasCard ? [providerCure(found.version)] : [], usable: [] };
  const advice = cudaAdvice(cuda, major);
  const lacking = cuda.cards.filter(withoutCode);
  const usable = advice.length === 0 ? cuda.cards.filter((card) => !withoutCode(card)) : [];
  return { facts, advice: [...advice, ...lacking.map(cardCure)], usable };
}

function versionOf(found: OnnxRuntimePackage, told: OnnxRuntimeInfo | undefined): string {
  if (told === undefined) return found.version;
  const names = told.providers.map((name) => name.replace("ExecutionProvider", ""));
  return `${told.version} (built with ${names.join(", ")})`;
}

interface Cuda {
  readonly driver: string | undefined;
  readonly cards: readonly Card[];
  readonly majors: readonly number[];
  readonly hasDriverLibrary: boolean;
  readonly hasCudnn: boolean;
}

function findCuda(machine: Machine): Cuda {
  return {
    driver: driverVersion(machine),
    cards: cards(machine),
    majors: cudaMajors(machine),
    hasDriverLibrary: hasLibrary(machine, "libcuda.so.1"),
    hasCudnn: hasLibrary(machine, "libcudnn.so.9"),
  };
}

/** What keeps a provider for CUDA `major` from working. */
function cudaAdvice(cuda: Cuda, major: number | undefined): string[] {
  const advice: string[] = [];
  const least = leastDriver[major ?? 0] ?? 0;
  if (cuda.driver === undefined)
    advice.push(`For --device cuda: install the NVIDIA driver${least > 0 ? `, ${least} or newer` : ""}`);
  else if (Number.parseInt(cuda.driver, 10) < least)
    advice.push(`For --device cuda: CUDA ${major} needs driver ${least} or newer, this is ${cuda.driver}`);
  else if (!cuda.hasDriverLibrary)
    advice.push(
      "For --device cuda: make libcuda.so.1 visible (in a container: start it with the NVIDIA runtime)",
    );
  if (major !== undefined && !cuda.majors.includes(major)) {
    const present = cuda.majors.length === 0 ? "none is" : `${cuda.majors.join(", ")} is`;
    advice.push(
      `For --device cuda: the provider needs CUDA ${major}, ${present} there; install its runtime libraries ` +
        "(cudart, cublas, curand) or add their folder to LD_LIBRARY_PATH",
    );
  }
  if (!cuda.hasCudnn) advice.push("For --device cuda: install cuDNN 9, which convolutions need");
  return advice;
}

/** Whether ONNX Runtime's CUDA provider lacks machine code for a card: that for x.y runs on x.z with z >= y. */
export function withoutCode({ capability }: Card): boolean {
  const [major = 0, minor = 0] = capability.split(".").map(Number);
  return !providerCode.some((code) => {
    const [of = 0, least = 0] = code.split(".").map(Number);
    return of === major && minor >= least;
  });
}

const cardCure = ({ index, name, capability }: Card): string =>
  `GPU ${index}, ${name}: ONNX Runtime's CUDA provider has no code for compute capability ${capability}, only for ` +
  `${providerCode.join(", ")}; use another card, or --engine native`;

const providerCure = (version: string): string =>
  `For --device cuda: ONNX Runtime's CUDA provider is missing; run \`npm install onnxruntime-node@${version}\` with ` +
  "ONNXRUNTIME_NODE_INSTALL=cuda12 in the environment (CUDA 12), or name the library of the Python package " +
  "onnxruntime-gpu (CUDA 13) with --onnxruntime";
