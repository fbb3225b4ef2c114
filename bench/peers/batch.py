"""Pseudo-labels of a folder of NIfTI volumes in PyTorch, files to files, the weights loaded before: z-score, windows of
the patch with half overlap, each stitched to a canvas, SAM, softmax summed and divided, argmax, confidence of each
voxel's class as bytes; labels and confidence are written.

Case: sam_case.py's without LoRA and batch, and "patch", "volume": [H, W, D], "volumes": N, "geometry" as in stitch.py.
Settings: sam_case.py's, and `threads`: the next volumes are read and the last ones written in threads meanwhile; default
is the usual simple loop. Check file: `labels` and `confidence` of the first volume summed along z (sampled).
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import torch

import peer
import sam_case
import inputs
import sam
from segmenter_volume import starts
from stitch import crop_and_permute, pad_and_permute

READ_AHEAD = 2


def read(path: Path) -> torch.Tensor:
    voxels = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)
    return torch.from_numpy((voxels - voxels.mean()) / voxels.std())


def write(folder: Path, name: str, labels: np.ndarray, confidence: np.ndarray) -> None:
    for kind, values in (("labels", labels), ("confidence", confidence)):
        (folder / kind).mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / kind / name)


class Labeller:
    def __init__(self, request: peer.Request) -> None:
        c = request.case
        config = sam_case.MODELS[c["model"]](c["canvas"], c["classes"])
        weights = inputs.weights(sam.parameter_shapes(config))
        sdpa = "sdpa" in request.options
        self.patch, self.classes, self.canvas, self.geometry = c["patch"], c["classes"], c["canvas"], c["geometry"]
        self.forward = peer.prepared(
            request, lambda x: sam.full_size(sam.forward(weights, config, x, None, sdpa), config.canvas)
        )

    def __call__(self, volume: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        scores = torch.zeros(self.classes, *volume.shape)
        counts = torch.zeros(volume.shape)
        half = (max(1, extent // 2) for extent in self.patch)
        for corner in product(*(starts(*axis) for axis in zip(volume.shape, self.patch, half))):
            window = tuple(slice(start, start + extent) for start, extent in zip(corner, self.patch))
            canvas = pad_and_permute(volume[window][None], self.geometry, self.canvas, 0)[:, None]
            logits = crop_and_permute(self.forward(canvas)[0], self.geometry, self.patch)
            scores[(..., *window)] += torch.softmax(logits, 0)
            counts[window] += 1
        confidence, labels = (scores / counts).max(0)
        return labels.to(torch.uint8).numpy(), (confidence * 255).round().to(torch.uint8).numpy()


def volumes_of(paths: list[Path], pool: ThreadPoolExecutor | None) -> Iterator[torch.Tensor]:
    """The volumes in their order, read ahead when there is a pool."""
    if pool is None:
        yield from map(read, paths)
        return
    waiting = [pool.submit(read, path) for path in paths[:READ_AHEAD]]
    for i in range(len(paths)):
        if i + READ_AHEAD < len(paths):
            waiting.append(pool.submit(read, paths[i + READ_AHEAD]))
        yield waiting.pop(0).result()


def run(label: Labeller, paths: list[Path], out: Path, threaded: bool) -> None:
    if not threaded:
        for path, volume in zip(paths, volumes_of(paths, None)):
            write(out, path.name, *label(volume))
        return
    with ThreadPoolExecutor(READ_AHEAD + 1) as pool:
        written = []
        for path, volume in zip(paths, volumes_of(paths, pool)):
            written.append(pool.submit(write, out, path.name, *label(volume)))
        for future in written:
            future.result()


def main() -> None:
    request = peer.parse(__doc__, ("threads", *sam_case.SETTINGS))
    c = request.case
    labels = inputs.checker_label((c["volumes"], *c["volume"]), c["classes"], 8)
    images = inputs.image("volume", labels)[:, 0].numpy()
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        paths = [folder / "in" / f"volume_{i}.nii.gz" for i in range(c["volumes"])]
        for path, voxels in zip(paths, images):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
        label = Labeller(request)

        def once() -> None:
            run(label, paths, folder / "out", "threads" in request.options)

        once()

        def columns(kind: str) -> np.ndarray:
            first = np.asarray(nibabel.load(folder / "out" / kind / paths[0].name).dataobj)
            return peer.sampled(torch.from_numpy(first.sum(-1, dtype=np.float32)))

        check = {kind: columns(kind) for kind in ("labels", "confidence")}
        peer.write_check(request, check)
        peer.measure(request, once, [*check["labels"][:2].tolist(), *check["confidence"][:2].tolist()])


if __name__ == "__main__":
    main()
