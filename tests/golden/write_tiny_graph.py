"""Write the graph that gi-edge doctor runs: python tests/golden/write_tiny_graph.py. The answer is that of NumPy.

It has what a bundle's graph has: uint8 pixels in, a convolution with stride, a mean, a matrix product, logits out.
Weights are small whole numbers over powers of two, so that every order of summation gives the same numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gi_edge.runtime.tiny import TINY_GRAPH, tiny_pixels

ROWS = np.random.default_rng(0)
CONVOLUTION = (ROWS.integers(-4, 5, (4, 3, 2, 2)) / 64).astype(np.float32)
SHIFT = np.array([1, -2, 3, 0.5], np.float32)
MATRIX = (ROWS.integers(-4, 5, (4, 3)) / 8).astype(np.float32)


def answer() -> np.ndarray:
    """Return the logits of tiny_pixels, float64 [2, 3], without any runtime."""
    pixels = tiny_pixels().astype(np.float64)
    patches = pixels.reshape(len(pixels), 2, 2, 2, 2, 3)  # frame, row, y, column, x, plane
    convolved = np.einsum("nrycxp,opyx->norc", patches, CONVOLUTION)
    return (convolved.mean(axis=(2, 3)) + SHIFT) @ MATRIX


def write(path: Path) -> None:
    """Write the graph in opset 17, which every supported runtime reads."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "c", "s"], ["convolved"], strides=[2, 2]),
        helper.make_node("ReduceMean", ["convolved"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "m"], ["logits"]),
    ]
    ends = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 4, 4, 3]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
    ]
    weights = [
        numpy_helper.from_array(array, name) for name, array in (("c", CONVOLUTION), ("s", SHIFT), ("m", MATRIX))
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


if __name__ == "__main__":
    write(TINY_GRAPH)
    print(answer().tolist())  # noqa: T201
