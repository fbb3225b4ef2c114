"""Forward of SAM with LoRA, canvas to full-size logits, in PyTorch or in ONNX Runtime.

Case and settings: sam_case.py; `onnxruntime` runs the default network as torch.onnx.export writes it, the LoRA updates
added to the weights. Check file: `logits` (sampled); result: their first four entries.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import peer
import sam_case


def export(request: peer.Request, folder: Path) -> None:
    """Writes sam.onnx and its input canvas.npy."""
    case = sam_case.read(request).merged()

    class Network(torch.nn.Module):
        def forward(self, canvas: torch.Tensor) -> torch.Tensor:
            return case.forward(canvas)

    image, _ = case.image_and_label()
    with torch.no_grad():
        torch.onnx.export(Network().eval(), (image,), folder / "sam.onnx", input_names=["canvas"], verbose=False)
    np.save(folder / "canvas.npy", image.numpy())


def onnxruntime_forward(request: peer.Request) -> Callable[[], torch.Tensor]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads
    import onnxruntime

    with tempfile.TemporaryDirectory() as name:
        # The exporter's memory is not the runtime's: it works in a process of its own.
        child = multiprocessing.get_context("spawn").Process(target=export, args=(request, Path(name)))
        child.start()
        child.join()
        if child.exitcode != 0:
            raise SystemExit(f"export to ONNX failed: exit {child.exitcode}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(f"{name}/sam.onnx", options, providers=["CPUExecutionProvider"])
        canvas = np.load(f"{name}/canvas.npy")
    return lambda: torch.from_numpy(session.run(None, {"canvas": canvas})[0])


def pytorch_forward(request: peer.Request) -> Callable[[], torch.Tensor]:
    case = sam_case.read(request)
    image, _ = case.image_and_label()
    forward = peer.prepared(request, case.forward)
    return lambda: forward(image)


def main() -> None:
    request = peer.parse(__doc__, ("onnxruntime", *sam_case.SETTINGS), devices=peer.DEVICES)
    exported = "onnxruntime" in request.options
    forward = onnxruntime_forward(request) if exported else pytorch_forward(request)
    with torch.no_grad():
        logits = peer.sampled(forward())
        peer.write_check(request, {"logits": logits})
        peer.measure(request, forward, logits[:4].tolist())


if __name__ == "__main__":
    main()
