"""From an fp32 graph and the ranges of its activations to the same graph with quantised matrices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from gi_edge.artifacts.quantisation import Dialect
from gi_edge_export.quantize.matrices import Matrix, matrices_of

Range = tuple[float, float]
"""Smallest and largest value of an activation that is told apart; what lies beyond is clipped."""

_LARGEST = 127
_LEAST_STEP = 1e-12
_MOST_BIAS = 2.0**30
"""Of an int32 bias, in steps: the sum of the products needs the rest."""


@dataclass(frozen=True)
class Form:
    """How quantised operands are written."""

    signed: bool
    """int8 activations around zero, else uint8 with a zero point: finer where values lie to one side, as after GELU."""
    integer_bias: bool
    """int32 biases, which ONNX Runtime's Gemm and Conv want and TensorRT refuses."""
    conv_outputs: bool
    """Quantise what a convolution gives: ONNX Runtime computes it in fp32 otherwise, and a Gemm in int8 either way."""


FORMS: dict[Dialect, Form] = {
    "onnxruntime": Form(signed=False, integer_bias=True, conv_outputs=True),
    "tensorrt": Form(signed=True, integer_bias=False, conv_outputs=False),
}


def quantisable(graph: onnx.ModelProto) -> tuple[Matrix, ...]:
    """Return the matrices of an fp32 graph that can be int8: Gemm, MatMul and convolutions without groups."""
    return tuple(
        matrix
        for matrix in matrices_of(graph)
        if not matrix.is_grouped and (matrix.node.op_type != "Gemm" or _is_plain(matrix.node))
    )


def activations_of(graph: onnx.ModelProto) -> tuple[str, ...]:
    """Return the tensors whose ranges are needed: what the matrices take, and what convolutions give."""
    nodes = [matrix.node for matrix in quantisable(graph)]
    names = [node.input[0] for node in nodes] + [node.output[0] for node in nodes if node.op_type == "Conv"]
    return tuple(dict.fromkeys(names))


def quantised_from_graph(
    graph: onnx.ModelProto, ranges: Mapping[str, Range], form: Form, kept: Collection[str] = ()
) -> onnx.ModelProto:
    """Return the graph with Q/DQ around every matrix that is not kept; each node then bears its matrix's label.

    Weights are int8 with one scale per output (Jacob et al. 2018, section 3), rounded half to even.
    """
    draft = _Draft(form, ranges, {item.name: item for item in graph.graph.initializer})
    chosen = {matrix.node.output[0]: matrix for matrix in quantisable(graph)}
    for node in graph.graph.node:
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        matrix = chosen.get(node.output[0])
        if matrix is None or matrix.label in kept:
            draft.nodes.append(copy)
        else:
            copy.name = matrix.label
            draft.quantise(copy)
    return draft.model(graph)


@dataclass
class _Draft:
    """A graph that is being written."""

    form: Form
    ranges: Mapping[str, Range]
    constants: dict[str, onnx.TensorProto]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    steps: dict[str, np.float32] = field(default_factory=dict)
    """Step of every activation that is quantised already."""

    def quantise(self, node: onnx.NodeProto) -> None:
        """Append a matrix with quantised operands."""
        name = node.input[0]
        if name not in self.steps:
            self.steps[name] = self.activation(name, f"{name}.from8")
        node.input[0] = f"{name}.from8"
        bias = self.array(node.input[2]) if len(node.input) > 2 else None
        scale = self.weight(node, self.steps[name], bias)
        if bias is not None and self.form.integer_bias:
            steps = scale * self.steps[name]
            node.input[2] = self.constant(f"{node.output[0]}.bias", np.rint(bias / steps).astype(np.int32), steps, 0)
        if node.op_type == "Conv" and self.form.conv_outputs:
            output = node.output[0]
            node.output[0] = f"{output}.wide"
            self.nodes.append(node)
            self.activation(f"{output}.wide", output, self.ranges[output])
        else:
            self.nodes.append(node)

    def weight(self, node: onnx.NodeProto, step: np.float32, bias: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Quantise the weight of a node and return its scales [outputs]; Gemm gets it as [inputs, outputs]."""
        values, axis = self.array(node.input[1]), 0 if node.op_type == "Conv" else 1
        for attribute in node.attribute:
            if attribute.name == "transB" and attribute.i:
                values, attribute.i = np.ascontiguousarray(values.T), 0
        others = tuple(place for place in range(values.ndim) if place != axis)
        least = np.abs(values).max(axis=others).astype(np.float64) / _LARGEST
        if bias is not None:  # an output without weights would leave its bias no finite number of steps
            least = np.maximum(least, np.abs(bias) / (float(step) * _MOST_BIAS))
        scale: NDArray[np.float32] = np.maximum(least, _LEAST_STEP).astype(np.float32)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        steps = np.rint(values / scale.reshape(shape)).clip(-_LARGEST, _LARGEST).astype(np.int8)
        node.input[1] = self.constant(f"{node.output[0]}.weight", steps, scale, axis)
        return scale

    def constant(self, name: str, values: NDArray[np.generic], scale: NDArray[np.float32], axis: int) -> str:
        """Store a quantised constant and return the name of its dequantised form."""
        names = [self.store(f"{name}.steps", values), self.store(f"{name}.scale", scale)]
        names.append(self.store(f"{name}.zero", np.zeros(len(scale), values.dtype)))
        self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}.wide"], name=name, axis=axis))
        return f"{name}.wide"

    def activation(self, name: str, output: str, found: Range | None = None) -> np.float32:
        """Quantise and dequantise a tensor, and return its step."""
        low, high = found or self.ranges[name]
        low, high = min(low, 0.0), max(high, 0.0)
        span = 2 * max(-low, high) / (2 * _LARGEST) if self.form.signed else (high - low) / 255
        step: np.float32 = np.float32(max(span, _LEAST_STEP))
        zero = np.int8(0) if self.form.signed else np.uint8(np.clip(np.rint(-low / step), 0, 255))
        ends = [self.store(f"{output}.scale", np.array(step)), self.store(f"{output}.zero", np.array(zero))]
        middle = f"{output}.steps"
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *ends], [middle], name=middle))
        self.nodes.append(helper.make_node("DequantizeLinear", [middle, *ends], [output], name=output))
        return step

    def array(self, name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = numpy_helper.to_array(self.constants[name])
        return values

    def store(self, name: str, values: NDArray[np.generic]) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def model(self, source: onnx.ModelProto) -> onnx.ModelProto:
        """Return the whole: the draft's nodes, the constants they use, and all else of the source."""
        used = {name for node in self.nodes for name in node.input}
        made = onnx.ModelProto(ir_version=source.ir_version, producer_name=source.producer_name)
        made.opset_import.extend(source.opset_import)
        made.functions.extend(source.functions)
        made.graph.name = source.graph.name
        made.graph.node.extend(self.nodes)
        made.graph.input.extend(source.graph.input)
        made.graph.output.extend(source.graph.output)
        made.graph.initializer.extend(item for name, item in self.constants.items() if name in used)
        return made


def _is_plain(gemm: onnx.NodeProto) -> bool:
    """Whether a Gemm is x @ W + b, or x @ W.T + b, and nothing more."""
    odd = {item.name: item for item in gemm.attribute if item.name in ("alpha", "beta", "transA")}
    return all(item.i == 0 if name == "transA" else item.f == 1.0 for name, item in odd.items())
