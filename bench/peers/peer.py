"""What every bench peer shares: arguments, the check file, timing, and the one JSON line on stdout.

The networks, losses and inputs are those of test/oracle, so a peer computes what the goldens were made with.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "oracle"))
import inputs  # noqa: E402

SAMPLES = 4096


@dataclass(frozen=True)
class Request:
    case: dict
    impl: str
    options: frozenset[str]
    runs: int
    check: Path | None
    device: torch.device


# Of the scripts that can run on a card.
DEVICES = ("cpu", "cuda")


def parse(
    description: str, allowed: tuple[str, ...], library: str = "pytorch", devices: tuple[str, ...] = ("cpu",)
) -> Request:
    """Reads the command line. A setting is `default`, or names from `allowed` joined by commas, with or without
    `pytorch-` in front: `channels-last`, `pytorch-sdpa`, `sdpa,compiled`. Sets the thread count.
    `library` is the first word of the implementation's name; the setting `onnxruntime` takes its place."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--case", type=json.loads, required=True, help="the case as JSON")
    parser.add_argument("--setting", default="default", help=f"default, or a comma list of {', '.join(allowed)}")
    parser.add_argument("--device", choices=devices, default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--check", type=Path, help="write the first result here (safetensors) to be compared")
    a = parser.parse_args()
    names = [n.removeprefix("pytorch-") for n in a.setting.split(",") if n not in ("default", "pytorch")]
    unknown = [n for n in names if n not in allowed]
    if unknown:
        parser.error(f"expected one of default, {', '.join(allowed)} for --setting, received {unknown[0]}")
    torch.set_num_threads(a.threads)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    words = [n for n in allowed if n in names]
    impl = "-".join(words if "onnxruntime" in words else [library, *words])
    return Request(a.case, impl, frozenset(names), a.runs, a.check, torch.device(a.device))


def sampled(value: torch.Tensor) -> np.ndarray:
    """Entries of a result at inputs.sample_indices (4096 at most), f32."""
    flat = value.detach().float().contiguous().reshape(-1).cpu().numpy()
    return flat[inputs.sample_indices(flat.size, SAMPLES)]


def write_check(request: Request, values: dict[str, np.ndarray]) -> None:
    if request.check is not None:
        save_file({n: np.ascontiguousarray(v) for n, v in values.items()}, request.check)


def prepared(request: Request, forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A forward pass as the settings want it: compiled, under bf16 autocast with an f32 result."""
    # Each batch size for itself: a network of sizes unknown is slower.
    run = torch.compile(forward, dynamic=False) if "compiled" in request.options else forward
    if "bf16" not in request.options:
        return run

    def with_autocast(*given: object) -> torch.Tensor:
        with torch.autocast(request.device.type, dtype=torch.bfloat16):
            return run(*given).float()

    return with_autocast


def measure_steps(request: Request, step: Callable[[int], object], result: list[float]) -> None:
    """As measure(), of the training steps from 1 on; step 0 was the warm-up."""
    count = iter(range(1, request.runs + 1))
    measure(request, lambda: step(next(count)), result)


def measure(request: Request, run: Callable[[], object], result: list[float]) -> None:
    """The timed runs, after a warm-up that the caller has made; prints the line."""
    on_card = request.device.type == "cuda"
    seconds = []
    for _ in range(request.runs):
        start = time.perf_counter()
        run()
        if on_card:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    line = {
        "impl": request.impl,
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "runs": request.runs,
        # Linux counts in KiB; the process did nothing else.
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        # What PyTorch's allocator has taken of the card.
        "peak_device_bytes": torch.cuda.max_memory_reserved() if on_card else None,
        "result": result,
    }
    print(json.dumps(line))
