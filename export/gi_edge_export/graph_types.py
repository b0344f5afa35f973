"""The types in an ONNX graph: proof of its precision, and the casts that keep sums wide. Needs onnx, not torch."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from gi_edge.errors import GateError
from gi_edge.metrics.parity import Precision
from gi_edge_export.quantize.matrices import check_quantised

_MATRIX_OPS = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
_REDUCTIONS = (
    "GlobalAveragePool",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "RMSNormalization",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Softmax",
)
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WANTED: dict[Precision, int] = {
    "fp32": TensorProto.FLOAT,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "int8": TensorProto.FLOAT,  # what Q/DQ leave between them; check_quantised looks at their insides
}
_SUBGRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
_SMALL_BYTES = 4096


def check_graph_precision(graph: onnx.ModelProto, precision: Precision, kept: tuple[str, ...] = ()) -> None:
    """Prove from the types in the graph that every matrix is in the precision asked for and no sum is in half.

    A product with a constant vector, such as GRN's energy as ones @ x², is a sum. int8: every matrix multiplies 8-bit
    values, those named in kept and depthwise convolutions apart. Raises: GateError naming the first operator that is
    not, or what hides operators.
    """
    hidden = [f"function '{item.name}'" for item in graph.functions]
    hidden += [f"{node.op_type} '{node.name}'" for node in graph.graph.node if _has_subgraph(node)]
    if hidden:
        raise GateError(
            f"the operators within {hidden[0]} are not looked into, so no precision is proven",
            fix="this is a defect of gi-edge's export; report it with the model's name",
        )
    if precision == "int8":
        check_quantised(graph, kept)
    types = types_of(graph)
    vectors = {item.name for item in graph.graph.initializer if len(item.dims) > 1 and 1 in item.dims[-2:]}
    matrices = 0
    for node in graph.graph.node:
        found = types.get(node.input[0], TensorProto.UNDEFINED) if node.input else TensorProto.UNDEFINED
        is_sum = node.op_type in _REDUCTIONS or (node.op_type == "MatMul" and not vectors.isdisjoint(node.input))
        is_matrix = node.op_type in _MATRIX_OPS and not is_sum
        matrices += is_matrix
        unproven = found == TensorProto.UNDEFINED or found in _HALVES
        if (is_matrix and found != _WANTED[precision]) or (is_sum and unproven):
            expected = _WANTED[precision] if is_matrix else TensorProto.FLOAT
            raise GateError(
                f"{precision} was asked for, but {node.op_type} '{node.name}' computes in "
                f"{TensorProto.DataType.Name(found)}, not {TensorProto.DataType.Name(expected)}",
                fix="this is a defect of gi-edge's export; report it with the model's name",
            )
    if not matrices:
        raise GateError("the graph has no matrix operator at all", fix="export again from the adapter")


def _has_subgraph(node: onnx.NodeProto) -> bool:
    return any(attribute.type in _SUBGRAPHS for attribute in node.attribute)


def types_of(graph: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor in a graph, by name.

    Weights are looked at by name only, so a graph above protobuf's 2 GiB can be asked too.
    """
    inferred = onnx.shape_inference.infer_shapes(_without_weights(graph), strict_mode=True, data_prop=True)
    types = {item.name: item.data_type for item in inferred.graph.initializer}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def widen_sums(graph: onnx.ModelProto) -> None:
    """Put casts around every sum of many terms that is in half precision, in place: widened before, half after."""
    types = types_of(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        half = types.get(node.input[0]) if node.input else None
        if node.op_type not in _REDUCTIONS or half not in _HALVES:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if types.get(name) in _HALVES:
                wide = f"{node.output[0]}.wide{place}"
                nodes.append(_cast(name, wide, TensorProto.FLOAT))
                node.input[place] = wide
        output = node.output[0]
        node.output[0] = f"{output}.wide"
        nodes.extend((node, _cast(f"{output}.wide", output, half)))
    if len(nodes) > len(graph.graph.node):
        copies = [onnx.NodeProto.FromString(item.SerializeToString()) for item in nodes]
        del graph.graph.node[:]
        graph.graph.node.extend(copies)
        del graph.graph.value_info[:]


def widened_from_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same graph with every half tensor in fp32: what a runtime without the half operators can compute.

    It shows whether a graph was translated rightly, never what its precision does.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(graph)
    for item in wide.graph.initializer:
        _widen_tensor(item)
    for node in wide.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _HALVES:
                attribute.i = TensorProto.FLOAT
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
    for value in (*wide.graph.input, *wide.graph.value_info, *wide.graph.output):
        if value.type.tensor_type.elem_type in _HALVES:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return wide


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _HALVES:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _cast(name: str, output: str, to: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [name], [output], name=f"Cast_{output}", to=to)


def _without_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    light = onnx.ModelProto(ir_version=graph.ir_version)
    light.opset_import.extend(graph.opset_import)
    light.functions.extend(graph.functions)
    light.graph.name = graph.graph.name
    light.graph.node.extend(graph.graph.node)
    light.graph.input.extend(graph.graph.input)
    light.graph.output.extend(graph.graph.output)
    light.graph.value_info.extend(graph.graph.value_info)
    for item in graph.graph.initializer:
        if len(item.raw_data) > _SMALL_BYTES:
            light.graph.input.append(onnx.helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)))
        else:
            light.graph.initializer.append(item)
    return light
