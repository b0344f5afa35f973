"""What every inference runtime offers to the rest of gi-edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.parity import Precision

Provider = Literal["cpu", "cuda", "tensorrt"]
"""Execution providers of ONNX Runtime."""
NOT_IN_ONNX_RUNTIME: tuple[Precision, ...] = ("bf16",)
"""What ONNX Runtime has not all operators for: its Conv takes no bfloat16, on a CPU or with CUDA."""
PIXEL_INPUT = "pixels"
"""Input of a model file that scales inside: uint8 [N, size, size, 3] RGB."""
FLOAT_INPUT = "images"
"""Input of a model file that takes float32 [N, 3, size, size], scaled by its PreprocessSpec."""


class Backend(Value):
    """What executes a model."""

    runtime: Literal["onnxruntime", "tensorrt", "tensorrt-rtx"] = "onnxruntime"
    provider: Literal["auto"] | Provider = "auto"
    """Of ONNX Runtime; auto takes CUDA where the driver sees a device, else the CPU."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of one inference; None: the runtime's own choice."""
    cuda_graph: bool = False
    """tensorrt only: record the launches once and replay them."""


@dataclass(frozen=True)
class Placement:
    """How many nodes of a graph run on a provider, and which kinds."""

    provider: str
    nodes: int
    operators: tuple[str, ...]


class Bound(Protocol):
    """One batch that lies where the graph computes; for timing the computing alone. Close it, or use it in a with."""

    @property
    def clock(self) -> Literal["host", "cuda events"]:
        """What run measures with."""

    def run(self) -> float:
        """Compute once, wait for the end, return the milliseconds it took; nothing is copied to or from the host."""

    def logits(self) -> NDArray[np.float32]:
        """Return a copy of the answers of the last run, [n, classes]."""

    def close(self) -> None:
        """Free the memory."""


class Session(Protocol):
    """One loaded model file on one device."""

    @property
    def runtime(self) -> str:
        """Runtime and version."""

    @property
    def provider(self) -> str:
        """What executes the graph, in the runtime's own word."""

    @property
    def widens_half(self) -> bool:
        """Whether half-precision graphs are computed in fp32 here, so that agreement proves nothing of half."""

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where the nodes run; empty where the runtime has one place only, or does not tell."""

    @property
    def largest_batch(self) -> int | None:
        """Frames that run takes at once; None: as many as there is memory for."""

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes]; returns when they are in memory.

        May be called from several threads. Raises: RuntimeUnavailableError if the runtime fails, as for want of memory.
        """

    def bind(self, pixels: NDArray[np.uint8]) -> Bound:
        """Copy a batch to where the graph computes."""
