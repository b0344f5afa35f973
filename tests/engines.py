"""What the tests of engines share."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from gi_edge.artifacts.engine import BatchRange, EngineTarget
from gi_edge_export.engine.config import EngineSettings

SETTINGS = EngineSettings(sms=(86, 120), batch=BatchRange(minimum=1, optimum=2, maximum=4))
AMPERE = EngineTarget(device=None, compute_capabilities=("8.6",))


def graph_of(path, nodes, weights=(), shape=(None, 4, 4)):
    """Write a small ONNX file from x to y."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size))
        for name, size in (("x", shape), ("y", [None] * 3))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(w, n) for n, w in weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
