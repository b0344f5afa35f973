"""What an ONNX graph says of itself: types, inputs, outputs, properties. Needs onnx, not torch."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import TensorProto

from gi_edge.errors import GateError
from gi_edge.metrics.parity import Precision
from gi_edge_export.triton import Tensor

_MATRIX_OPS = ("Conv", "Gemm", "MatMul")
_REDUCTIONS = ("LayerNormalization", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "GlobalAveragePool")
_TRITON_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.BFLOAT16: "TYPE_BF16",
    TensorProto.UINT8: "TYPE_UINT8",
}


def check_graph_precision(graph: onnx.ModelProto, precision: Precision) -> None:
    """Prove from the types in the graph that matrices are in the precision asked for and sums in fp32.

    Raises: GateError naming the first operator that is not.
    """
    wanted = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}[precision]
    types = _types_of(onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True))
    matrices = 0
    for node in graph.graph.node:
        found = types.get(node.input[0]) if node.input else None
        expected = wanted if node.op_type in _MATRIX_OPS else TensorProto.FLOAT
        matrices += node.op_type in _MATRIX_OPS
        if node.op_type in (*_MATRIX_OPS, *_REDUCTIONS) and found != expected:
            raise GateError(
                f"{precision} was asked for, but {node.op_type} '{node.name}' computes in "
                f"{TensorProto.DataType.Name(found or 0)}, not {TensorProto.DataType.Name(expected)}",
                fix="this is a defect of gi-edge's export; report it with the model's name",
            )
    if not matrices:
        raise GateError("the graph has no matrix operator at all", fix="export again from the adapter")


def properties_of(graph: onnx.ModelProto) -> dict[str, str]:
    """Return the properties that the export wrote into the model."""
    return {item.key: item.value for item in graph.metadata_props}


def tensors_of(graph: onnx.ModelProto) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return inputs and outputs as Triton names them, the batch dimension left out."""
    return _tensors(graph.graph.input), _tensors(graph.graph.output)


def _tensors(values: Iterable[onnx.ValueInfoProto]) -> tuple[Tensor, ...]:
    found = []
    for value in values:
        tensor = value.type.tensor_type
        dims = tuple(dim.dim_value for dim in tensor.shape.dim)[1:]
        found.append(Tensor(value.name, _TRITON_TYPES[tensor.elem_type], dims))
    return tuple(found)


def _types_of(graph: onnx.ModelProto) -> dict[str, int]:
    types = {item.name: item.data_type for item in graph.graph.initializer}
    for value in (*graph.graph.input, *graph.graph.value_info, *graph.graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types
