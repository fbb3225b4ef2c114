"""How a golden is packed: one safetensors file per case, small because it keeps norms and sampled entries.

A case is a function of the floating-point type that returns named tensors. It is run three times: f32 on one thread
(the values kept), f32 on two threads (their spread) and f64 on one thread (their rounding).

- `value/<key>`: f32 [1 + S]: L2 norm, then S sampled entries (inputs.sample_indices); f64, whole, for the keys
  that start with `losses` (a row per step)
- `spread/<key>`, `rounding/<key>`: f32 [1]: L2 distance of the run on two threads, or in f64, from the kept one, over
  the L2 norm of the kept one; for `losses` f64, the absolute difference per element
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors.numpy
import torch

import inputs

FOLDER = Path(__file__).resolve().parent / "goldens"
SAMPLES = 32
# Results that are looked at closely (travel, and those that are no set of tensors): more entries.
MANY_SAMPLES = 256

Tensors = dict[str, torch.Tensor]
Case = Callable[[torch.dtype], Tensors]


# Rounding of f32 puts activations behind a norm elsewhere by less than a hundredth of this.
MARGIN = 1e-3


@contextmanager
def away_from_zero(wanted: bool) -> Iterator[None]:
    """Raises where gradients flow and an activation in front of a ReLU is closer to zero than MARGIN."""
    nearest, relu = math.inf, torch.relu_

    def watched(x: torch.Tensor) -> torch.Tensor:
        nonlocal nearest
        if x.requires_grad:
            nearest = min(nearest, x.detach().abs().min().item())
        return relu(x)

    with mock.patch.object(torch, "relu_", watched if wanted else relu):
        yield
    if nearest < MARGIN:
        raise ValueError(f"an activation of {nearest:.1e} lies in front of a ReLU; expected {MARGIN} or more")


def split_qkv(values: Tensors) -> Tensors:
    """`...qkv.bias` becomes `[query]`, `[key]`, `[value]`: the key's third has a true gradient of zero."""
    result: Tensors = {}
    for name, value in values.items():
        if name.endswith("qkv.bias"):
            for part, third in zip(("query", "key", "value"), value.chunk(3)):
                result[f"{name}[{part}]"] = third
        else:
            result[name] = value
    return result


def prefixed(prefix: str, values: Tensors) -> Tensors:
    return {f"{prefix}/{name}": value for name, value in split_qkv(values).items()}


def gradients(parameters: Tensors) -> Tensors:
    """`grad/<name>` of every parameter that has one."""
    return prefixed("grad", {n: v.grad.clone() for n, v in parameters.items() if v.grad is not None})


def travel(parameters: Tensors, start: Tensors) -> Tensors:
    """`travel/<name>`: final minus start of every parameter that has a gradient, in double."""
    moved = {n: v for n, v in parameters.items() if v.grad is not None}
    return prefixed("travel", {n: v.detach().double() - start[n].double() for n, v in moved.items()})


def _sampled(value: torch.Tensor, count: int) -> np.ndarray:
    flat = value.detach().double().reshape(-1).numpy()
    picked = flat[inputs.sample_indices(flat.size, count)]
    return np.concatenate([[np.linalg.norm(flat)], picked]).astype(np.float32)


def _pack(key: str, kept: torch.Tensor, two_threads: torch.Tensor, exact: torch.Tensor) -> dict[str, np.ndarray]:
    kept = kept.detach().double()
    others = {"spread": two_threads.detach().double(), "rounding": exact.detach().double()}
    if key.startswith("losses"):
        return {f"value/{key}": kept.numpy().copy()} | {
            f"{kind}/{key}": (other - kept).abs().numpy().copy() for kind, other in others.items()
        }
    norm = max(kept.norm().item(), 1e-30)
    count = SAMPLES if "/" in key and not key.startswith("travel/") else MANY_SAMPLES
    return {f"value/{key}": _sampled(kept, count)} | {
        f"{kind}/{key}": np.array([(other - kept).norm().item() / norm], np.float32) for kind, other in others.items()
    }


def write(name: str, case: Case, about: str, zero_gradient: list[str] | None = None) -> None:
    """Runs `case` three times and writes goldens/<name>.safetensors; prints its size and largest spreads."""
    runs = []
    for threads, dtype in ((1, torch.float32), (2, torch.float32), (1, torch.float64)):
        torch.set_num_threads(threads)
        runs.append(case(dtype))
    packed: dict[str, np.ndarray] = {}
    for key, kept in runs[0].items():
        packed |= _pack(key, kept, runs[1][key], runs[2][key])
    metadata = {
        "about": about,
        "axis_order": "reference: N, C, H, W or N, C, H, W, D; weights as PyTorch stores them",
        "zero_gradient": zero_gradient or [],
        "seed": inputs.SEED,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    path = FOLDER / f"{name}.safetensors"
    # One entry: the format's writer keeps several in no fixed order, and the bytes should not change by chance.
    safetensors.numpy.save_file(packed, path, {"golden": json.dumps(metadata)})
    path.chmod(0o644)
    _print_summary(path, packed, set(zero_gradient or []))


def _print_summary(path: Path, packed: dict[str, np.ndarray], zero: set[str]) -> None:
    print(f"{path.name}: {len(packed)} tensors, {path.stat().st_size / 1024:.0f} KB")
    for measure in ("spread", "rounding"):
        groups: dict[str, list[tuple[float, str]]] = {}
        for key, value in packed.items():
            kind, _, rest = key.partition("/")
            prefix, _, name = rest.partition("/")
            if kind != measure or name in zero:
                continue
            if rest.startswith("losses"):
                print(f"  {measure} of {rest}: " + " ".join(f"{x:.1e}" for x in np.atleast_2d(value).max(axis=-1)))
            else:
                groups.setdefault(prefix, []).append((value.item(), name))
        for prefix, rows in groups.items():
            median, (largest, worst) = np.median([r[0] for r in rows]), max(rows)
            print(f"  {measure} of {len(rows)} {prefix}: median {median:.1e}, largest {largest:.1e} {worst}")
