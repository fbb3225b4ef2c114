"""Labels of a whole volume in PyTorch: softmax of every window summed, divided by the number of windows, argmax.

Case: segmenter_case.py, and "volume": [H, W, D], "stride": [x, y, z]; windows start at multiples of the stride, the last
one ends at the border. Check file: `columns` (sampled), the labels summed along z; result: their first four entries.
"""

from itertools import product

import torch

import peer
import segmenter_case


def starts(extent: int, patch: int, stride: int) -> list[int]:
    return sorted({min(start, extent - patch) for start in range(0, extent - patch + stride, stride)})


def main() -> None:
    request = peer.parse(__doc__, segmenter_case.SETTINGS, devices=peer.DEVICES)
    case = segmenter_case.read(request)
    volume = tuple(request.case["volume"])
    weights, statistics = case.weights(1), case.statistics()
    image, _ = case.volumes(1, volume)
    corners = list(product(*(starts(*axis) for axis in zip(volume, case.patch, request.case["stride"]))))

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(case.net.forward(weights, statistics, x, False, None, case.unused_heads), 1)

    forward = peer.prepared(request, forward)

    def predict() -> torch.Tensor:
        scores = torch.zeros(1, case.classes, *volume, device=case.device).to(memory_format=case.layout)
        counts = torch.zeros(volume, device=case.device)
        for corner in corners:
            window = tuple(slice(start, start + extent) for start, extent in zip(corner, case.patch))
            crop = image[(..., *window)].contiguous(memory_format=case.layout)
            scores[(..., *window)] += forward(crop)
            counts[window] += 1
        return (scores / counts).argmax(1)

    with torch.no_grad():
        columns = peer.sampled(predict().sum(-1))
        peer.write_check(request, {"columns": columns})
        peer.measure(request, predict, columns[:4].tolist())


if __name__ == "__main__":
    main()
