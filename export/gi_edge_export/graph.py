"""What an ONNX graph says of itself: inputs, outputs, properties. Needs onnx, not torch."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import TensorProto

from gi_edge_export.triton import Tensor

_TRITON_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.BFLOAT16: "TYPE_BF16",
    TensorProto.UINT8: "TYPE_UINT8",
}


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
        found.append(Tensor(value.name, _TRITON_TYPES.get(tensor.elem_type, "TYPE_INVALID"), dims))
    return tuple(found)
