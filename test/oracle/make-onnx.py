"""Small ONNX files for the tests of ONNX Runtime, written to test/fixtures/onnx.

needs: onnx 1.x;  python make-onnx.py
"""
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = Path(__file__).parent.parent / "fixtures" / "onnx"
F32, I32, U8, I64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT64


def port(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def constant(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def save(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    # IR version 8 and operator set 17 are read by all versions of ONNX Runtime that the tests meet.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{name}.onnx")


# y = 2 x + 1, any batch; y is the only output, so that it is computed in the memory that is bound.
save(
    "affine",
    [helper.make_node("Mul", ["x", "two"], ["scaled"]), helper.make_node("Add", ["scaled", "one"], ["y"])],
    [port("x", F32, ["n", 3])],
    [port("y", F32, ["n", 3])],
    [constant("two", np.float32(2)), constant("one", np.float32(1))],
)

# One input and output of each element type that tensors have, and an output of one that they do not have.
types = {"f32": F32, "f64": TensorProto.DOUBLE, "i32": I32, "u8": U8, "u16": TensorProto.UINT16}
save(
    "types",
    [helper.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in types]
    + [helper.make_node("Cast", ["i32_in"], ["i64_out"], to=I64)],
    [port(f"{name}_in", dtype, [2, 2]) for name, dtype in types.items()],
    [port(f"{name}_out", dtype, [2, 2]) for name, dtype in types.items()] + [port("i64_out", I64, [2, 2])],
)

# A chain of matrix products that takes a quarter of a second or so: there is time to stop it, and a place between two nodes.
links = 200
save(
    "slow",
    [helper.make_node("MatMul", [f"x{i}" if i else "x", "x"], [f"x{i + 1}" if i + 1 < links else "y"]) for i in range(links)],
    [port("x", F32, [640, 640])],
    [port("y", F32, [640, 640])],
)

# Fails when it runs: the count of elements does not fit the shape, which is an input.
save(
    "reshape",
    [helper.make_node("Cast", ["shape"], ["shape64"], to=I64), helper.make_node("Reshape", ["x", "shape64"], ["y"])],
    [port("x", F32, [6]), port("shape", I32, [2])],
    [port("y", F32, ["a", "b"])],
)

# y = the sum of as many ones as the shape says, which are all made.
save(
    "ones",
    [
        helper.make_node("Cast", ["shape"], ["shape64"], to=I64),
        helper.make_node("ConstantOfShape", ["shape64"], ["ones"], value=helper.make_tensor("one", F32, [1], [1.0])),
        helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0),
    ],
    [port("shape", I32, [2])],
    [port("y", F32, [])],
)
