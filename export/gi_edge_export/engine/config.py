"""What an engine build is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from gi_edge.artifacts.engine import BatchRange, RuntimeName
from gi_edge.config import Value
from gi_edge.metrics.parity import Precision


class EngineSettings(Value):
    """How engines are built, whatever the model."""

    runtime: Literal["auto"] | RuntimeName = "auto"
    """auto: TensorRT for RTX where SMs are named; else what is installed, TensorRT first."""
    sms: tuple[int, ...] = ()
    """Architectures to build for, such as 86, without a GPU; none: the GPU of this machine. TensorRT for RTX only."""
    batch: BatchRange = BatchRange(minimum=1, optimum=8, maximum=32)
    workspace_mb: int | None = Field(default=None, ge=1)
    """Limit of scratch memory in MiB; None: the runtime's default, all of the device."""
    triton: bool = False
    """Write a Triton repository beside the plan. TensorRT only: Triton has no backend for RTX plans."""


class EngineJob(Value):
    """One engine: which model of which bundle."""

    bundle: Path
    precision: Precision
    settings: EngineSettings = EngineSettings()
    force: bool = False
