"""Try one thing of this machine and say in JSON how it went; gi-edge doctor runs it in a process of its own.

A runtime may end the process or never answer. So nothing heavy is imported before main, and what is said goes to a
file descriptor of its own: runtimes print to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gi_edge.artifacts.engine import RuntimeName
    from gi_edge.runtime.session import Provider


def driver() -> dict[str, Any]:
    """Describe the NVIDIA driver."""
    from gi_edge.runtime.device import cuda_driver

    return asdict(cuda_driver())


def onnxruntime(provider: Provider) -> dict[str, Any]:
    """Run the tiny graph in ONNX Runtime."""
    from gi_edge.runtime.onnxruntime import check_placements, open_session
    from gi_edge.runtime.tiny import TINY_GRAPH, check_tiny

    session = open_session(TINY_GRAPH, provider, threads=1)
    check_tiny(session)
    if provider != "cpu":
        check_placements(provider, session.placements)
    return {"runtime": session.runtime}


def engine(name: RuntimeName) -> dict[str, Any]:
    """Build an engine of the tiny graph and run it."""
    from gi_edge.data.preprocess import PreprocessSpec
    from gi_edge.runtime.cuda import open_cuda
    from gi_edge.runtime.engine_session import EngineSession, Plan
    from gi_edge.runtime.tensorrt import load_toolkit
    from gi_edge.runtime.tiny import TINY_GRAPH, check_tiny
    from gi_edge.runtime.tiny_engine import plan_from_onnx

    toolkit = load_toolkit(name)
    cuda = open_cuda(name)
    plan = Plan(plan_from_onnx(toolkit, TINY_GRAPH.read_bytes()), PreprocessSpec(size_px=32), "gi-edge engine BUNDLE")
    session = EngineSession(toolkit, cuda, plan)
    check_tiny(session)
    session.close()
    return {"runtime": session.runtime}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "driver": driver,
    "onnxruntime cpu": lambda: onnxruntime("cpu"),
    "onnxruntime cuda": lambda: onnxruntime("cuda"),
    "onnxruntime tensorrt": lambda: onnxruntime("tensorrt"),
    "tensorrt": lambda: engine("tensorrt"),
    "tensorrt-rtx": lambda: engine("tensorrt-rtx"),
}


def main(name: str, channel: int) -> None:
    """Write the outcome of a probe to an open file descriptor; whatever fails is part of it."""
    from gi_edge.errors import GiEdgeError

    try:
        said = PROBES[name]()
    except GiEdgeError as error:
        said = {"fault": error.message}
    except BaseException as error:  # noqa: BLE001  # a broken module raises anything, SystemExit too
        said = {"fault": f"{type(error).__name__}: {error}"}
    sys.stdout.flush()
    with os.fdopen(channel, "w", encoding="utf-8") as out:
        json.dump(said, out)
