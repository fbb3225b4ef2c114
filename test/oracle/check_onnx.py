"""Has ONNX's own checker read what sfr exports, shapes inferred, and looks at the face of each file.

    python check_onnx.py FILE.onnx ...        # needs onnx 1.15 or newer; exit code 1 when one is refused

Prints a JSON list: operator sets, producer, names and extents of inputs and outputs, metadata keys, and whether shape
inference ends where the file says.
"""
import json
import sys

import onnx


def extents(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def main(paths):
    found = []
    for path in paths:
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path)
        graph = model.graph
        found.append({
            "opsets": {entry.domain: entry.version for entry in model.opset_import},
            "producer": model.producer_name,
            "inputs": {value.name: extents(value) for value in graph.input},
            "outputs": {value.name: extents(value) for value in graph.output},
            "metadata": sorted(entry.key for entry in model.metadata_props),
            "ops": sorted({node.op_type for node in graph.node}),
        })
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
