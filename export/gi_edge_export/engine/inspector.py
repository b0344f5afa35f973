"""What a finished engine says of itself: the half of the precision proof that needs a GPU.

EngineInspector's JSON, as NVIDIA documents it: 10.x gives each tensor of a layer one field "Format/Datatype", such as
"Half", "Row major linear FP16 format" or "Channel major FP16 format where channel % 8 == 0" (NVIDIA/TensorRT issues
3876, 4020, 4397); 11.x splits it into "Format" and "DataType" (migration guide, "IEngineInspector JSON output"). Layers
built without detailed verbosity are plain names. Fused layers list their ONNX nodes in "Metadata". The shapes in the
tests are those of these pages; no engine was inspected by this code on a GPU yet, so it reads tolerantly and says when
it could not tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from gi_edge.artifacts.engine import PrecisionProof
from gi_edge.errors import GateError
from gi_edge_export.engine.layers import TypedLayer, counts_of

_WORDS = (
    ("bf16", r"BF16|BFloat16"),
    ("fp16", r"FP16|Half"),
    ("int8", r"Int8"),
    ("fp32", r"FP32|Float32|\bFloat\b"),
)
_MATRIX_LAYER = re.compile(r"conv|gemm|matmul|matrixmultiply|matrix_multiply|fullyconnected", re.IGNORECASE)
_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


def proof_from_inspection(text: str, layers: Iterable[TypedLayer], precision: str) -> PrecisionProof | None:
    """Judge the inspector's JSON of an engine whose network had these layers.

    A matrix is in the precision asked for if the engine layer that holds its node takes or gives that type; a layer
    that is a matrix product and nothing else must take it. Returns None where the JSON names no types.

    Raises: GateError if a matrix is computed in another type.
    """
    layers = tuple(layers)
    nodes = {layer.name: layer for layer in layers if layer.kind == "matrix" and layer.type == precision}
    sums = counts_of(layer.type for layer in layers if layer.kind == "sum")
    seen: dict[str, str] = {}
    for found in _layers(text):
        held = [name for name in _ONNX_NODE.findall(str(found.get("Metadata", ""))) if name in nodes]
        takes, gives = _types(found.get("Inputs")), _types(found.get("Outputs"))
        if not takes:
            continue
        is_pure = bool(_MATRIX_LAYER.search(str(found.get("LayerType", ""))))
        if not held and is_pure:
            held = [str(found.get("Name", "?"))]
        fits = precision in (takes[:1] if is_pure else (*takes, *gives))
        for name in held:
            # One node may stand in several layers, such as a reformat before its product.
            if fits or name not in seen:
                seen[name] = precision if fits else takes[0]
    if not seen:
        return None
    wrong = {name: kind for name, kind in seen.items() if kind != precision}
    if wrong:
        name, kind = next(iter(wrong.items()))
        raise GateError(
            f"{precision} was asked for, but the engine computes '{name}' in {kind} ({len(wrong)} of {len(seen)} "
            "matrix layers); no engine was written",
            fix="report this with the runtime's version; a bundle without an engine still serves",
        )
    unseen = len(nodes.keys() - seen.keys())
    return PrecisionProof(
        method="engine inspector",
        matrices=counts_of(seen.values()),
        sums=sums,
        wider=tuple(layer.name for layer in layers if layer.kind == "matrix" and layer.type != precision),
        note=f"{unseen} matrix layers of the network are not named by the engine" if unseen else "",
    )


def _layers(text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except ValueError:
        return []
    found = content.get("Layers", []) if isinstance(content, dict) else content
    return [layer for layer in found if isinstance(layer, dict)] if isinstance(found, list) else []


def _types(tensors: object) -> tuple[str, ...]:
    """Return the number types of a layer's tensors; integers for shapes and booleans are left out."""
    if not isinstance(tensors, list):
        return ()
    found = []
    for tensor in tensors:
        fields = tensor if isinstance(tensor, dict) else {}
        keys = [key for key in fields if key.lower() in ("datatype", "format/datatype")]
        text = " ".join(str(fields[key]) for key in keys)
        found += [name for name, words in _WORDS if re.search(words, text, re.IGNORECASE)][:1]
    return tuple(found)
