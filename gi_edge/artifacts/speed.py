"""How fast a model file answered: one timed scenario, and what led up to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.latency import LatencySummary

Milliseconds = Annotated[float, Field(ge=0)]
Scenario = Literal["single-stream", "offline", "multi-stream", "paced"]
"""single-stream: one frame after another. offline: batches, as many images per second as can be. multi-stream: several
callers at once. paced: frames arrive at a fixed rate, each with a deadline before the next. MLPerf Inference has the
first two under these names; its MultiStream is something else, one query of several samples."""
Region = Literal["device", "host", "file"]
"""What one sample spans. device: computing alone, inputs and outputs lie where the graph computes. host: uint8 pixels
in host memory to logits in host memory. file: an image file to its label, decoding and resizing included."""
REGIONS: dict[Region, str] = {
    "device": "computing alone: pixels and logits stay where the graph computes",
    "host": "uint8 pixels in host memory to logits in host memory; decoding and resizing are not in it",
    "file": "an image file to its label: reading, decoding, resizing and computing",
}


class WarmUp(Value):
    """Untimed runs before the timed ones."""

    count: int
    seconds: float
    is_steady: bool | None
    """Whether the median of the last half was within 5 % of the half before it; if not, the time limit ended it. None
    where that ended it after too few calls to tell."""


class Deadlines(Value):
    """How many frames of a paced scenario came too late."""

    frame_rate: float
    """Frames per second that arrive."""
    deadline_ms: float
    """A frame must be answered so long after it arrived: before the next one arrives."""
    frames: int
    missed: int
    """Answered late, or skipped because an earlier frame still computed."""


class Energy(Value):
    """What a GPU drew during the timed part, by NVML."""

    method: Literal["energy counter", "sampled power"]
    millijoules_per_frame: float
    mean_watts: float
    seconds: float


class SpeedRun(Value):
    """One timed scenario."""

    scenario: Scenario
    region: Region
    batch_size: int = Field(ge=1)
    streams: int = Field(default=1, ge=1)
    """Callers at once; 1 but for multi-stream."""
    clock: Literal["host", "cuda events"] = "host"
    warm_up: WarmUp
    summary: LatencySummary
    """Of samples_ms; in the paced scenario from a frame's arrival to its answer."""
    images_per_second: float
    """Answered images over the wall time of the timed part."""
    deadlines: Deadlines | None = None
    """Of a paced scenario."""
    energy: Energy | None = None
    note: str = ""
    """What else must be known of these samples, such as random pixels."""
    samples_ms: tuple[Milliseconds, ...] = Field(min_length=1)
    """One per batch, in order."""

    @property
    def timed_region(self) -> str:
        """What one sample spans, in words."""
        return REGIONS[self.region] + (f"; {self.note}" if self.note else "")


class IdleGap(Value):
    """Latency of single frames after a pause, against the same without one: clocks and caches cool down."""

    gap_ms: float
    count: int
    p50_ms: float
    """After the pause."""
    back_to_back_p50_ms: float


class Startup(Value):
    """What it costs until the first answer; each once, in a process that had loaded the runtime."""

    load_ms: float
    """Opening the model file, or deserialising the engine."""
    first_inference_ms: float
    peak_memory_bytes: int | None
    """Largest resident memory of this process up to the end of this model's runs; None where it is not told."""
    gpu_memory_bytes: int | None = None
    """Device memory in use by this process after the runs, by NVML."""


class CrossCheck(Value):
    """Another tool's timing of the same file beside ours."""

    tool: str
    """Name and version."""
    command: str
    batch_size: int
    statistic: str
    """Which figure is compared, such as "median latency, computing alone"."""
    their_ms: float
    our_ms: float

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.our_ms / self.their_ms
