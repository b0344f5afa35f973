"""What the suite is asked for. Every default stands here, and only here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from gi_edge.config import Value, value_from_mapping
from gi_edge.metrics.parity import PRECISIONS, Precision

Part = Literal["ceilings", "onnxruntime", "tensorrt", "tensorrt-rtx", "eager", "compile"]
PARTS: tuple[Part, ...] = get_args(Part)
"""In this order: what a time limit cuts off comes last, and torch.compile spends the most time before it measures."""
Network = Literal["timm", "deployed"]
"""timm: the published layers, channels last. deployed: the rewritten network that the ONNX files hold."""
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
BatchSize = Annotated[int, Field(ge=1)]


class Options(Value):
    """How the suite runs."""

    device: Literal["cuda", "cpu"] = "cuda"
    """cpu shows that the suite works, with tiny models; it is never taken unasked."""
    models: tuple[str, ...] = Field(default=("convnextv2_tiny", "convnextv2_base"), min_length=1)
    """Architectures."""
    precisions: tuple[Precision, ...] = Field(default=PRECISIONS, min_length=1)
    batch_sizes: tuple[BatchSize, ...] = Field(default=(1, 8, 32, 128, 256), min_length=1)
    compile_batch_sizes: tuple[BatchSize, ...] = Field(default=(1, 128), min_length=1)
    """Of torch.compile, which compiles each size anew."""
    compile_mode: CompileMode = "reduce-overhead"
    """reduce-overhead replays CUDA graphs; max-autotune does too, after a long search for kernels."""
    networks: tuple[Network, ...] = Field(default=("timm",), min_length=1)
    """What PyTorch runs."""
    image_size_px: int = Field(default=224, gt=0, multiple_of=32)
    videos_per_finding: int = Field(default=8, ge=4)
    frames_per_stretch: int = Field(default=3, ge=1)
    """Generated frames: 4 findings x videos x 2 stretches x frames."""
    epochs: int = Field(default=1, ge=1)
    """Of the LoRA training, a few steps each."""
    rank: int = Field(default=16, ge=1)
    seconds: float = Field(default=1.0, gt=0)
    """A row is timed so long at least."""
    minutes: float = Field(default=9.0, gt=0)
    """Rows that have not begun by then are recorded as not run."""
    command_minutes: float = Field(default=5.0, gt=0)
    """Longest single command; what takes longer is ended and recorded."""
    parts: tuple[Part, ...] = Field(default=PARTS, min_length=1)
    seed: int = 0
    """Of the random weights and the frames."""


def parser() -> argparse.ArgumentParser:
    """Return the command line; what is not given keeps the default of Options."""
    result = argparse.ArgumentParser(
        prog="python -m gpu_suite",
        description="Measure PyTorch, ONNX Runtime and TensorRT on this GPU; one JSON and one table.",
    )
    result.add_argument("--device", choices=["cuda", "cpu"])
    result.add_argument("--models", nargs="+", metavar="ARCHITECTURE")
    result.add_argument("--precisions", nargs="+", choices=PRECISIONS)
    result.add_argument("--batch-sizes", nargs="+", type=int)
    result.add_argument("--compile-batch-sizes", nargs="+", type=int)
    result.add_argument("--compile-mode", choices=get_args(CompileMode))
    result.add_argument("--networks", nargs="+", choices=get_args(Network))
    result.add_argument("--image-size", type=int, dest="image_size_px")
    result.add_argument("--videos-per-finding", type=int)
    result.add_argument("--frames-per-stretch", type=int)
    result.add_argument("--epochs", type=int)
    result.add_argument("--rank", type=int)
    result.add_argument("--seconds", type=float, help="a row is timed so long at least")
    result.add_argument("--minutes", type=float, help="rows that have not begun by then are recorded as not run")
    result.add_argument("--command-minutes", type=float, help="longest single command")
    result.add_argument("--only", nargs="+", choices=PARTS, dest="parts", help="these parts; all unless given")
    result.add_argument("--seed", type=int)
    result.add_argument(
        "--workspace", type=Path, help="folder that keeps frames, adapters and bundles for the next run"
    )
    result.add_argument("--output", type=Path, help="JSON file; bench/results/gpu_suite_GPU.json unless given")
    return result


def options_from_given(given: dict[str, Any]) -> Options:
    """Return the options that were given, the rest as they stand in Options. Raises: ConfigError."""
    named = {key: given[key] for key in Options.model_fields if given.get(key) is not None}
    return value_from_mapping(Options, named, source="the options of the suite")
