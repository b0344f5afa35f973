"""Options of gi-edge bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_BACKEND = (
    click.option(
        "--runtime",
        type=click.Choice(["onnxruntime", "tensorrt", "tensorrt-rtx"]),
        help="What executes the models; unless given, ONNX Runtime, and TensorRT for the engines that fit this GPU.",
    ),
    click.option(
        "--provider",
        type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
        help="Of ONNX Runtime; auto, the default: CUDA where the driver sees a device, else the CPU.",
    ),
    click.option("--threads", type=int, help="CPU threads of one inference; the runtime's choice unless given."),
    click.option("--cuda-graph", is_flag=True, help="--runtime tensorrt: record the launches once and replay them."),
)
_COMPARE = (
    click.option("--data", type=click.Path(path_type=Path), help="Dataset folder, where gi-edge.toml does not say."),
    click.option("--probes", is_flag=True, help="Compare on the built-in images, though the dataset may be here."),
    click.option("--speed-only", is_flag=True, help="Leave parity out: no dataset is needed, nothing is proved."),
    click.option(
        "--against",
        multiple=True,
        metavar="BACKEND",
        help="Compare with another backend too: onnxruntime:cpu, onnxruntime:cuda, tensorrt, …; may be repeated.",
    ),
    click.option("--pictures/--no-pictures", default=None, help="Keep frames that changed class as small pictures."),
)
_SPEED = (
    click.option(
        "--scenario",
        "scenarios",
        type=click.Choice(["single-stream", "offline", "paced", "multi-stream"]),
        multiple=True,
        help="Time these only; may be repeated.",
    ),
    click.option(
        "--region",
        "regions",
        type=click.Choice(["device", "host", "file"]),
        multiple=True,
        help="What a sample spans: computing alone, host memory to host memory, or an image file to its label.",
    ),
    click.option(
        "--batch-size", "batch_sizes", type=int, multiple=True, help="Of offline; 8 and the best found unless given."
    ),
    click.option(
        "--frame-rate", "frame_rates", type=float, multiple=True, help="Of paced: 25, 30 and 60 unless given."
    ),
    click.option("--streams", type=int, multiple=True, help="Callers at once in multi-stream; 2 unless given."),
    click.option("--idle-gap-ms", type=float, help="Pause before a single frame, to see what it costs; 0 for none."),
    click.option("--warmup-seconds", type=float, help="Longest warm-up of a scenario; a steady one ends sooner."),
    click.option("--minimum-seconds", type=float, help="A timed scenario lasts at least so long."),
    click.option("--minimum-count", type=int, help="A timed scenario answers at least so many images."),
    click.option(
        "--maximum-seconds", type=float, help="A timed scenario ends after so long, its count reached or not."
    ),
    click.option("--cross-check", is_flag=True, help="Time with trtexec, polygraphy or onnxruntime_perf_test too."),
)


def bench_options(function: F) -> F:
    """Add what says on which backend, compared with what, and timed how."""
    for option in reversed((*_BACKEND, *_COMPARE, *_SPEED)):
        function = option(function)
    return function
