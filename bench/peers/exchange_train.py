"""What a step of SFR+ trains in PyTorch: one Mean Teacher step of a segmenter and one LoRA step of SAM.

Case: {"segmenter": a case of segmenter_train.py, "sam": one of sam_train.py}; settings of both. Check file and result: the
two losses of step 0.
"""

from dataclasses import replace

import numpy as np

import peer
import sam_train
import segmenter_train


def main() -> None:
    request = peer.parse(__doc__, ("channels-last", "compiled", "no-heads", "sdpa"))
    segmenter = segmenter_train.training(replace(request, case=request.case["segmenter"]))
    sam = sam_train.training(replace(request, case=request.case["sam"]))

    def step(index: int) -> list[float]:
        return segmenter(index)[1] + sam()[1]

    result = step(0)
    peer.write_check(request, {"losses": np.array(result)})
    peer.measure_steps(request, step, result)


if __name__ == "__main__":
    main()
