"""Has PyTorch read what sfr writes: every fixture that PyTorch or transformers wrote goes through `sfr convert`.

    python test/oracle/verify_checkpoints.py        # needs a build: dist/src/cli/cli.js; exit code 1 when one differs

torch.load with weights_only=True, with and without mmap, must give the names in their order, and types, shapes and bits
of the original; so must safetensors for a conversion to safetensors and back. The SHA-256 of each written .pth is
printed: test/io/write-pth.test.ts holds our writer to these bytes.
"""
import hashlib
import os
import subprocess
import sys
import tempfile

import safetensors.torch
import torch

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures")
CLI = os.path.join(os.path.dirname(__file__), "..", "..", "dist", "src", "cli", "cli.js")
NAMES = ["pth-state-dict.pth", "checkpoints/sam.pth", "checkpoints/sam-f16.pth", "checkpoints/medsam.pth", "checkpoints/lora.pth",
         "checkpoints/sam-hf.safetensors", "checkpoints/unet3d.pth", "checkpoints/magicnet.pth", "reference/vnet-4f/iter_0.pth"]


def original(path):
    if path.endswith(".safetensors"):
        return safetensors.torch.load_file(path)
    state = torch.load(path, weights_only=True)
    return state.get("model", state)


def difference(expected, found, ordered):
    if sorted(expected) != sorted(found) or (ordered and list(expected) != list(found)):
        return "other names"
    for name, tensor in expected.items():
        other = found[name]
        if tensor.dtype != other.dtype or tensor.shape != other.shape:
            return f"{name}: {tensor.dtype} {tuple(tensor.shape)}, {other.dtype} {tuple(other.shape)}"
        if tensor.detach().contiguous().reshape(-1).view(torch.uint8).ne(
            other.detach().contiguous().reshape(-1).view(torch.uint8)
        ).any():
            return f"{name}: other bits"
    return None


def convert(source, target):
    subprocess.run(["node", CLI, "convert", source, target, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = os.path.join(FIXTURES, name)
            expected = original(path)
            pth, tensors = os.path.join(folder, "out.pth"), os.path.join(folder, "out.safetensors")
            convert(path, pth)
            convert(pth, tensors)
            # Safetensors files are ordered by size and name, and so is what is made of them.
            ordered = name.endswith(".pth")
            results = {
                "torch.load": difference(expected, torch.load(pth, weights_only=True), ordered),
                "torch.load, mmap": difference(expected, torch.load(pth, weights_only=True, mmap=True), ordered),
                "safetensors": difference(expected, safetensors.torch.load_file(tensors), False),
            }
            with open(pth, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            print(f"{name}: {len(expected)} tensors, sha256 {digest}")
            for how, problem in results.items():
                if problem is not None:
                    failures += 1
                    print(f"  {how}: {problem}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
