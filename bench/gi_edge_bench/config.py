"""What a bench run is asked for. Every default stands here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.parity import Precision


class BenchSettings(Value):
    """How to measure."""

    provider: Literal["auto", "cpu", "cuda"] = "auto"
    precisions: tuple[Precision, ...] = ()
    """Which models of a bundle; empty: all."""
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 8), min_length=1)
    """One timed scenario each; 1 comes first, since a scope delivers one frame at a time."""
    warmup_seconds: float = Field(default=1.0, ge=0)
    """Untimed runs before each scenario, at least three of them."""
    minimum_seconds: float = Field(default=5.0, gt=0)
    """A scenario lasts at least so long ..."""
    minimum_count: int = Field(default=64, ge=1)
    """... and at least so many batches; 64 is what a p90 needs."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the runtime; None: its own choice."""


class BenchTarget(Value):
    """One bundle and where its held-out frames are; without any only speed can be measured."""

    bundle: Path
    data: Path | None
    """Folder of the dataset."""
    samples: bool = False
    """Where data is None: compare on the frames packed in the bundle."""


class BenchJob(Value):
    """Bundles and how to measure them."""

    settings: BenchSettings
    targets: tuple[BenchTarget, ...] = Field(min_length=1)
