"""What an export is asked for."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.parity import Precision
from gi_edge_export.engine.config import EngineSettings


class ExportJob(Value):
    """Where an export reads and writes, and what it emits."""

    adapter: Path
    data: Path
    """Folder of the dataset that the adapter was trained on; its test part is the reference."""
    weights: Path | None = None
    """Base weights, where the adapter was trained on a local file."""
    precisions: tuple[Precision, ...] = ("fp32",)
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


OPSET = 20
"""ONNX operator set: the first with Gelu."""
