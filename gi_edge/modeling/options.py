"""What is asked of a model before it trains. Imports no torch, so that a command line can check it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gi_edge.artifacts.adapter import Method
from gi_edge.config import Value


class LoraOptions(Value):
    """The shape of LoRA; B starts at zero, so the model starts as its backbone."""

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    """The update is scaled by alpha / rank; by alpha / sqrt(rank) with rslora."""
    dropout: float = 0.0
    rslora: bool = False
    """Rank-stabilised scaling (Kalajdzievski 2023, arXiv 2312.03732)."""
    dora: bool = False
    """Train the magnitude of each output channel apart from its direction (Liu et al. 2024, arXiv 2402.09353)."""
    stage_ranks: tuple[int, int, int, int] | None = None
    """Rank in each of the four stages, instead of rank; 0 leaves a stage without LoRA. alpha / rank stays what it is
    for `rank`; with rslora alpha does, as that scaling is made for it."""
    targets: str | None = None
    """Regular expression that a layer's whole name must match; None: fc1 and fc2 of every block."""


class ModelRequest(Value):
    """Which model, and what of it trains."""

    backbone: str | None
    """timm tag or architecture, or the embedded model; None: by the weights file, else the default tag."""
    weights: Path | None
    """Local weights file."""
    method: Method
    """lora: LoRA and the classifier. full: every weight. probe: the classifier."""
    lora: LoraOptions
    """Read by the method lora only."""
    drop_path: float = 0.0
    """Largest rate of stochastic depth, rising over the blocks."""
