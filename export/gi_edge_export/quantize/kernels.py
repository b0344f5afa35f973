"""What ONNX Runtime makes of an INT8 file on this CPU: the matrices that run in int8 kernels, and the rest."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort

from gi_edge_export.quantize.matrices import matrices_of

_KERNELS = ("MatMulIntegerToFloat", "QGemm", "QLinearConv", "QLinearMatMul")


def int8_kernels(path: Path) -> int:
    """Return how many matrices of a file ONNX Runtime fused into an int8 kernel."""
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(optimised)
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return sum(node.op_type in _KERNELS for node in onnx.load(optimised).graph.node)


def text_from_kernels(path: Path) -> str:
    """Say how the matrices that are int8 in the file were computed."""
    quantised = sum(matrix.is_quantised for matrix in matrices_of(onnx.load(path)))
    fused = int8_kernels(path)
    text = f"{fused} matrices by int8 kernels"
    return text if fused >= quantised else f"{text}, {quantised - fused} by fp32 products of the same 8-bit values"
