"""What a bench run is asked for. Every default stands here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gi_edge.artifacts.speed import Region, Scenario
from gi_edge.config import Value, value_from_mapping
from gi_edge.errors import ConfigError
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.session import Backend

FrameSource = Literal["dataset", "samples", "probes"]
"""What answers are compared on: the test part of the dataset, the test frames packed in the bundle, or its probe
images, which have no labels."""


class BenchSettings(Value):
    """How to measure."""

    backend: Backend = Backend()
    with_engines: bool = False
    """Whether to measure the bundle's engines that this GPU runs too, beside the backend's models."""
    precisions: tuple[Precision, ...] = ()
    """Which models of a bundle; empty: all."""
    scenarios: tuple[Scenario, ...] = Field(default=("single-stream", "offline", "paced", "multi-stream"), min_length=1)
    regions: tuple[Region, ...] = ()
    """What one sample spans; empty: host in every scenario, and device and file in single-stream too."""
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Of the offline scenario; empty: 8, and the size that answers most images per second, which is looked for."""
    streams: tuple[Annotated[int, Field(ge=2)], ...] = Field(default=(2,), min_length=1)
    """Callers at once, one multi-stream scenario each."""
    frame_rates: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(default=(25, 30, 60), min_length=1)
    """Frames per second that arrive, one paced scenario each."""
    warmup_seconds: float = Field(default=2.0, ge=0)
    """Longest warm-up of a scenario; a steady one ends after a quarter of it. At least three runs."""
    minimum_seconds: float = Field(default=2.5, gt=0)
    """A scenario lasts at least so long ..."""
    minimum_count: int = Field(default=64, ge=1)
    """... and answers at least so many images; 64 is what a p90 of single frames needs."""
    maximum_seconds: float = Field(default=15.0, gt=0)
    """... but where these are many for a slow device, it ends after so long, or minimum_seconds if that is longer."""
    idle_gap_ms: float = Field(default=200.0, ge=0)
    """Pause before a single frame, to see what cooling down costs; 0: not measured."""
    pictures: bool = True
    """Whether frames that changed class are kept in the result as small pictures."""
    cross_check: bool = False
    """Whether trtexec, polygraphy and onnxruntime_perf_test time the same files too, where they are installed."""
    against: tuple[Backend, ...] = ()
    """Other backends whose answers are compared."""

    @property
    def limit_seconds(self) -> float:
        """When a scenario ends though its count is not reached."""
        return max(self.minimum_seconds, self.maximum_seconds)


class BenchTarget(Value):
    """One bundle and the frames that its answers are compared on."""

    bundle: Path
    frames: FrameSource | None
    """None: nothing is compared, only speed is measured."""
    data: Path | None = None
    """Folder of the dataset, where frames is "dataset"."""


class BenchJob(Value):
    """Bundles and how to measure them."""

    settings: BenchSettings
    targets: tuple[BenchTarget, ...] = Field(min_length=1)


def backend_from_text(text: str) -> Backend:
    """Parse RUNTIME or RUNTIME:PROVIDER, such as "onnxruntime:cuda". Raises: ConfigError."""
    runtime, _, provider = text.partition(":")
    given = {"runtime": runtime} | ({"provider": provider} if provider else {})
    if provider and runtime != "onnxruntime":
        raise ConfigError(f"{runtime} has no providers, found '{text}'", fix=f"--against {runtime}")
    return value_from_mapping(Backend, given, source=f"--against {text}")
