"""What a parsed network computes in which type: the half of the precision proof that needs no GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from gi_edge.artifacts.engine import PrecisionProof
from gi_edge.errors import GateError

_MATRICES = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "FULLY_CONNECTED", "EINSUM")
_SUMS = ("NORMALIZATION", "REDUCE", "SOFTMAX")
_MOVES = ("SHUFFLE", "IDENTITY", "SQUEEZE", "UNSQUEEZE")
_TYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}


@dataclass(frozen=True)
class TypedLayer:
    """One layer that multiplies with weights, or sums many values."""

    name: str
    """Of the ONNX node, where the parser kept it."""
    kind: Literal["matrix", "sum"]
    type: str
    """Type that it computes in: fp32, fp16, bf16, int8, or the runtime's own word."""


def typed_layers(network: Any) -> tuple[TypedLayer, ...]:  # noqa: ANN401
    """Read the matrix layers and sums of a TensorRT network, in order.

    A layer computes in the type of its first input, since under strong typing both operands agree. Behind a
    dequantisation of int8 it is int8. A product with a constant vector is a sum: GRN's energy as ones @ x².
    """
    every = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {layer.get_output(index).name: layer for layer in every for index in range(layer.num_outputs)}
    found = []
    for layer in every:
        kind = layer.type.name
        if kind in (*_MATRICES, *_SUMS):
            is_sum = kind in _SUMS or (kind == "MATRIX_MULTIPLY" and _has_constant_vector(layer, producers))
            found.append(TypedLayer(layer.name, "sum" if is_sum else "matrix", _type_of(layer, producers)))
    return tuple(found)


def check_layers(layers: Iterable[TypedLayer], precision: str) -> PrecisionProof:
    """Prove from a typed network that matrices are in the precision asked for, and sums in fp32.

    int8 may keep matrices wider, but not all of them. Raises: GateError naming the first layer that is not.
    """
    layers = tuple(layers)
    matrices = [layer for layer in layers if layer.kind == "matrix"]
    if not matrices:
        raise GateError("the network has no matrix layer at all", fix="gi-edge verify BUNDLE, then export again")
    wider = tuple(layer.name for layer in matrices if layer.type != precision) if precision == "int8" else ()
    wrong = [] if precision == "int8" else [layer for layer in matrices if layer.type != precision]
    if len(wider) == len(matrices):
        wrong = matrices[:1]
    wrong += [layer for layer in layers if layer.kind == "sum" and layer.type != "fp32"]
    if wrong:
        wanted = precision if wrong[0].kind == "matrix" else "fp32 for sums"
        raise GateError(
            f"{precision} was asked for, but '{wrong[0].name}' computes in {wrong[0].type}, not {wanted} "
            f"({len(wrong)} such of {len(layers)} layers); no engine was written",
            fix="export the bundle again with this gi-edge; if it stays, report it with the model's name",
        )
    return PrecisionProof(
        method="typed network",
        matrices=counts_of(layer.type for layer in matrices),
        sums=counts_of(layer.type for layer in layers if layer.kind == "sum"),
        wider=wider,
    )


def counts_of(types: Iterable[str]) -> dict[str, int]:
    """Count by type, the types in alphabetical order."""
    return dict(sorted(Counter(types).items()))


def _type_of(layer: Any, producers: dict[str, Any]) -> str:  # noqa: ANN401
    source = _source(layer.get_input(0), producers)
    if source is not None and source.type.name == "DEQUANTIZE" and source.get_input(0).dtype.name == "INT8":
        return "int8"
    found = str(layer.get_input(0).dtype.name)
    return _TYPES.get(found, found.lower())


def _has_constant_vector(layer: Any, producers: dict[str, Any]) -> bool:  # noqa: ANN401
    for index in range(2):
        tensor = layer.get_input(index)
        source = _source(tensor, producers)
        if source is not None and source.type.name == "CONSTANT" and 1 in tuple(tensor.shape)[-2:]:
            return True
    return False


def _source(tensor: Any, producers: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the layer that makes a tensor, seen through layers that only move it; None for an input."""
    layer = producers.get(tensor.name)
    while layer is not None and layer.type.name in _MOVES:
        layer = producers.get(layer.get_input(0).name)
    return layer
