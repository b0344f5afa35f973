"""Which operators of a graph are matrices with weights, and whether they are quantised. Needs onnx, not torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from gi_edge.errors import GateError

_OPERATORS = ("Conv", "Gemm", "MatMul")
_EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8)
_PREFIX, _SUFFIX = "classifier.", ".weight"


@dataclass(frozen=True)
class Matrix:
    """An operator whose second operand is a constant with two axes at least."""

    node: onnx.NodeProto
    label: str
    """The layer's name, such as "stages.0.blocks.0.fc1"; that of the node where the exporter lost it."""
    is_grouped: bool
    """A depthwise or grouped convolution, which stays in fp32 by rule: little work, and no faster in int8."""
    is_quantised: bool
    """Both operands come from 8-bit values."""


def matrices_of(graph: onnx.ModelProto) -> tuple[Matrix, ...]:
    """Return the matrices of a graph in order, quantised or not."""
    weights = {item.name: item for item in graph.graph.initializer}
    producers = {name: node for node in graph.graph.node for name in node.output}
    found = []
    for node in graph.graph.node:
        if node.op_type not in _OPERATORS:
            continue
        source = _source(node.input[1], producers)
        weight = weights.get(source)
        if weight is None or len(weight.dims) < 2 or (node.op_type == "MatMul" and 1 in weight.dims[-2:]):
            continue  # a product with a vector is a sum
        eight = weight.data_type == TensorProto.INT8 and _is_eight_bits(node.input[0], producers, weights)
        grouped = any(item.name == "group" and item.i > 1 for item in node.attribute)
        label = node.name if source != node.input[1] else _label(node, weight.name)
        found.append(Matrix(node, label, grouped, eight))
    return tuple(found)


def check_quantised(graph: onnx.ModelProto, kept: tuple[str, ...]) -> None:
    """Prove that every matrix that is not kept multiplies 8-bit values, and that there is one at all.

    Raises: GateError naming the first that does not, or a kept one that the graph does not have.
    """
    matrices = [matrix for matrix in matrices_of(graph) if matrix.is_quantised or not matrix.is_grouped]
    wide = [matrix.label for matrix in matrices if not matrix.is_quantised]
    wrong = [label for label in wide if label not in kept] + [label for label in kept if label not in wide]
    if wrong:
        found = "is not in the graph in fp32 though listed as kept" if wrong[0] in kept else "computes in fp32"
        raise _refused(f"int8 was asked for, but '{wrong[0]}' {found} ({len(wrong)} such of {len(matrices)} matrices)")
    if len(wide) == len(matrices):
        raise _refused("int8 was asked for, but the graph has no matrix with 8-bit operands")


def _refused(message: str) -> GateError:
    return GateError(message, fix="this is a defect of gi-edge's export; report it with the model's name")


def _label(node: onnx.NodeProto, weight: str) -> str:
    if not weight.endswith(_SUFFIX):
        return node.name
    return weight.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def _source(name: str, producers: Mapping[str, onnx.NodeProto]) -> str:
    node = producers.get(name)
    return node.input[0] if node is not None and node.op_type == "DequantizeLinear" else name


def _is_eight_bits(
    name: str, producers: Mapping[str, onnx.NodeProto], constants: Mapping[str, onnx.TensorProto]
) -> bool:
    """Whether a tensor is a dequantised one, which a QuantizeLinear of 8 bits made."""
    node = producers.get(_source(name, producers))
    if node is None or node.op_type != "QuantizeLinear" or len(node.input) < 3 or node.output[0] == name:
        return False
    zero = constants.get(node.input[2])
    return zero is not None and zero.data_type in _EIGHT_BITS
