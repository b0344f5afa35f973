"""What an export is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from gi_edge.artifacts.quantisation import Dialect, Method
from gi_edge.config import Value
from gi_edge.metrics.parity import Precision
from gi_edge_export.engine.config import EngineSettings

InputForm = Literal["uint8", "float"]
"""uint8: pixels [N, size, size, 3] RGB, scaled inside the graph. float: float32 [N, 3, size, size], scaled outside."""


OPSET = 20
"""ONNX operator set: the first with Gelu."""
OPSET_BF16 = 22
"""The first whose Conv takes bfloat16."""


CalibrationMethod = Literal[Method, "auto"]
"""auto: the method whose answers on the validation frames are nearest to those of fp32."""
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = (*get_args(Method), "auto")


class Int8Settings(Value):
    """How INT8 models are made."""

    dialects: tuple[Dialect, ...] = ("onnxruntime",)
    """For which runtimes; one file each."""
    frames: int = Field(default=200, ge=1)
    """Training frames that set the ranges; all where there are fewer."""
    method: CalibrationMethod = "auto"


class ExportJob(Value):
    """Where an export reads and writes, and what it emits."""

    adapter: Path
    data: Path
    """Folder of the dataset that the adapter was trained on; its test part is the reference."""
    weights: Path | None = None
    """Base weights, where the adapter was trained on a local file."""
    precisions: tuple[Precision, ...] = ("fp32",)
    int8: Int8Settings = Int8Settings()
    """Read where precisions has int8."""
    input: InputForm = "uint8"
    name: str
    output: Path
    force: bool = False
    allow_undecided: bool = False
    """Write the bundle though the held-out frames are too few to decide on a precision."""
    samples: int = Field(default=0, ge=0)
    """Test frames to pack, so that a device without the dataset can prove parity."""
    engine: EngineSettings | None = None
    """Build an engine from every model; None: ONNX only."""
    triton: bool = False
    """Write a Triton repository of the ONNX models."""


class OnnxForm(Value):
    """How a network becomes a file."""

    input: InputForm = "uint8"
    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits before the softmax that gives the probabilities."""
    opset: int = OPSET
    """The first with Gelu. bfloat16 convolutions need OPSET_BF16."""
    external_above_bytes: int = 2**31 - 2**24
    """Weights larger than this go into a second file: protobuf holds 2 GiB."""


def opset_of(precision: Precision) -> int:
    """Return the operator set that a precision is written in."""
    return OPSET_BF16 if precision == "bf16" else OPSET
