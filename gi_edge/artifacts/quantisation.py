"""What made an INT8 model: its dialect, the frames and method that set its ranges, and what stayed in fp32."""

from __future__ import annotations

from typing import Literal, get_args

from gi_edge.config import Value

Dialect = Literal["onnxruntime", "tensorrt"]
"""onnxruntime: uint8 activations with a zero point and int32 biases, which ONNX Runtime fuses on a CPU.
tensorrt: int8 activations around zero and fp32 biases, the only form that TensorRT's parser takes."""
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
Method = Literal["entropy", "percentile", "minmax"]
METHODS: tuple[Method, ...] = get_args(Method)


class MethodScore(Value):
    """How far a method of calibration moves the answers on the validation frames, every matrix in int8."""

    method: Method
    divergence: float
    """Mean Kullback-Leibler divergence of the class probabilities from those of fp32, in nats."""
    flips: int
    """Frames whose top class changed."""


class Quantisation(Value):
    """How one INT8 model was made."""

    dialect: Dialect
    method: Method
    calibration_frames: int
    """Training frames that set the ranges of the activations."""
    calibration_sha256: str
    """sha256 of the sorted sha256 of these files, one a line."""
    validation_frames: int
    """Validation frames that chose the method and what is kept; no test frame did."""
    tried: tuple[MethodScore, ...]
    divergence: float
    """Of the model as it is, as in MethodScore."""
    flips: int
    matrices: int
    """Matrices with int8 weights and activations."""
    kept: tuple[str, ...]
    """Matrices left in fp32 because the answers moved too far, worst first. Sums, norms, GELU and depthwise
    convolutions are fp32 in every INT8 model."""

    def line(self) -> str:
        """Say in one line what was done."""
        kept = f"kept in fp32: {', '.join(self.kept)}" if self.kept else "none kept in fp32"
        return (
            f"int8 for {self.dialect}: {self.method} on {self.calibration_frames} training frames, {self.matrices} "
            f"matrices in int8, {kept}; on {self.validation_frames} validation frames {self.flips} changed class, "
            f"divergence {self.divergence:.1e}"
        )
