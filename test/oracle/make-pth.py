"""Writes the small PyTorch checkpoints that test/io/pth.test.ts reads. Made with PyTorch 2.13.0, no random numbers.

    python test/oracle/make-pth.py [FOLDER, default test/fixtures]
"""
import argparse
import os
import sys
from collections import OrderedDict

import torch


class RunsCode:
    """Unpickling this in Python would run a command."""

    def __reduce__(self):
        return os.system, ("touch unpickler-was-tricked",)


def count(*shape, dtype=torch.float32):
    size = 1
    for axis in shape:
        size *= axis
    return torch.arange(size, dtype=torch.float64).reshape(shape).to(dtype)


def main(folder):
    os.makedirs(folder, exist_ok=True)
    base = count(4, 6)
    state = OrderedDict()
    for name in ["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8"]:
        # Minus a half and a large value show the sign, the rounding and the exponent of the narrow types.
        values = count(2, 3, dtype=getattr(torch, name))
        if values.is_floating_point():
            values[0, 0] = -0.5
            values[1, 2] = 1000.0
        state[name] = values
    state["int64_large"] = torch.tensor([-1, 2**40, -(2**62)], dtype=torch.int64)
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 3)
    state["parameter"] = torch.nn.Parameter(count(3))
    state["base"] = base
    state["transposed"] = base.t()
    state["window"] = base[1:3, ::2]
    state["permuted"] = count(2, 3, 4).permute(2, 0, 1)
    torch.save(state, os.path.join(folder, "pth-state-dict.pth"))

    module = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv1d(1, 2, 3), norm=torch.nn.BatchNorm1d(2)))
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.copy_(count(*tensor.shape, dtype=tensor.dtype))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(2, 1, 5)).sum().backward()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer.step()
    module.load_state_dict(state)
    checkpoint = {"epoch": 3, "best": 0.25, "tags": ["a", ("b", None)], "model": module.state_dict()}
    checkpoint["optimizer"] = optimizer.state_dict()
    torch.save(checkpoint, os.path.join(folder, "pth-checkpoint.pth"))

    small = {"weight": count(2)}
    torch.save(small, os.path.join(folder, "pth-old-format.pth"), _use_new_zipfile_serialization=False)
    torch.save({"weight": count(2), "run": RunsCode()}, os.path.join(folder, "pth-runs-code.pth"))
    torch.save({"weight": count(2), "args": argparse.Namespace(lr=1)}, os.path.join(folder, "pth-namespace.pth"))
    torch.save({"weight": torch.zeros(1).expand(10**9)}, os.path.join(folder, "pth-expanded.pth"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "test/fixtures")
