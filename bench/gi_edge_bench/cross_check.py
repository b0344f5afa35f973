"""Another tool's timing of the same file: trtexec, Polygraphy, ONNX Runtime's perf test, where they are installed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.artifacts.speed import CrossCheck, Region, SpeedRun
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.progress import Progress
from gi_edge.runtime.backends import OpenModel
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT
from gi_edge_bench.calls import Subject
from gi_edge_bench.config import BenchSettings
from gi_edge_bench.tool_output import (
    Told,
    told_by_perf_test,
    told_by_polygraphy,
    told_by_trtexec,
    version_of_polygraphy,
)

TOOLS = ("trtexec", "polygraphy", "onnxruntime_perf_test")
_LIMIT_SECONDS = 600
_PROVIDERS = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}
_NO_TF32 = (("NVIDIA_TF32_OVERRIDE", "0"),)
"""Sessions of ours compute fp32 as such with CUDA; the tools have no option for it, and ONNX Runtime takes TF32."""
_FEWEST, _MOST = 64, 5000
"""Runs that a tool is asked for."""


@dataclass(frozen=True)
class _Job:
    """One run of a tool, and which figure of ours it is held against."""

    words: tuple[str, ...]
    read: Callable[[str], Told | None]
    region: Region
    statistic: str
    figure: Callable[[SpeedRun], float]
    variables: tuple[tuple[str, str], ...] = ()
    """Set in the tool's environment."""

    @property
    def command(self) -> str:
        """What to type for the same run."""
        return " ".join((*(f"{name}={value}" for name, value in self.variables), shlex.join(self.words)))


def check_tools() -> None:
    """Raise RuntimeUnavailableError if no tool is on PATH."""
    if not any(map(shutil.which, TOOLS)):
        raise RuntimeUnavailableError(
            f"none of {', '.join(TOOLS)} is on PATH to cross-check with",
            fix="pip install polygraphy, or leave out --cross-check",
        )


def cross_checks_of(
    model: OpenModel, subject: Subject, speeds: Sequence[SpeedRun], settings: BenchSettings, progress: Progress
) -> tuple[CrossCheck, ...]:
    """Let every tool that is installed and takes such a file time single frames of it; a failing tool is told.

    speeds: ours, of which single-stream is compared.
    """
    ours = {run.region: run for run in speeds if run.scenario == "single-stream"}
    found = []
    for job in _jobs(model, subject, settings, ours):
        if job.region not in ours:
            progress.say(f"{job.words[0]}: left out; it compares with --scenario single-stream --region {job.region}")
            continue
        told = _told_by(job, model.file.parent, progress)
        if told is not None:
            found.append(
                CrossCheck(
                    tool=told.tool,
                    command=job.command,
                    batch_size=1,
                    statistic=job.statistic,
                    their_ms=told.milliseconds,
                    our_ms=job.figure(ours[job.region]),
                )
            )
    return tuple(found)


def _jobs(model: OpenModel, subject: Subject, settings: BenchSettings, ours: dict[Region, SpeedRun]) -> Iterator[_Job]:
    file, side = model.file.name, subject.preprocess.size_px
    scales_inside = model.entry.input == "uint8"
    name, shape = (PIXEL_INPUT, (1, side, side, 3)) if scales_inside else (FLOAT_INPUT, (1, 3, side, side))
    typical_ms = min((run.summary.p50_ms for run in ours.values()), default=10.0)
    count = str(int(min(max(settings.minimum_seconds * 1e3 / max(typical_ms, 1e-3), _FEWEST), _MOST)))
    if model.engine is not None and model.engine.entry.runtime == "tensorrt" and shutil.which("trtexec"):
        graph = ("--useCudaGraph",) if settings.backend.cuda_graph else ()
        shapes = f"--shapes={name}:{'x'.join(map(str, shape))}"
        words = ("trtexec", f"--loadEngine={file}", shapes, f"--iterations={count}", "--warmUp=500", *graph)
        statistic = "median latency, computing alone"
        yield _Job(words, told_by_trtexec, "device", statistic, lambda run: run.summary.p50_ms)
    provider = _PROVIDERS.get(model.session.provider)
    variables = _NO_TF32 if provider == "cuda" else ()
    if shutil.which("polygraphy") and (model.engine is not None or provider is not None):
        backend = ("--trt", "--model-type", "engine") if provider is None else ("--onnxrt", "--providers", provider)
        shapes = f"{name}:[{','.join(map(str, shape))}]"
        loops = ("--warm-up", "20", "--iterations", count, *_one_runner_at_a_time())
        words = ("polygraphy", "run", file, *backend, "--input-shapes", shapes, *loops)
        statistic = "mean latency, host memory to host memory"
        yield _Job(words, told_by_polygraphy, "host", statistic, lambda run: run.summary.mean_ms, variables)
    if provider is not None and shutil.which("onnxruntime_perf_test"):
        threads = ("-x", str(settings.backend.threads)) if settings.backend.threads else ()
        words = ("onnxruntime_perf_test", "-e", provider, "-m", "times", "-r", count, "-s", "-I", *threads, file)
        statistic = "median latency, host memory to host memory"
        yield _Job(words, told_by_perf_test, "host", statistic, lambda run: run.summary.p50_ms, variables)


def _one_runner_at_a_time() -> tuple[str, ...]:
    """Return the option without which Polygraphy 0.53 takes no warm-up and prints no time; older ones lack it."""
    option = "--sequential-runners"
    try:
        return (option,) if option in _output_of(("polygraphy", "run", "--help")) else ()
    except (OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return ()  # the run itself then tells what is wrong


def _told_by(job: _Job, folder: Path, progress: Progress) -> Told | None:
    try:
        output = _output_of(job.words, folder, dict(job.variables))
        version = version_of_polygraphy(_output_of(("polygraphy", "--version"))) if "polygraphy" in job.words else None
    except (OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        lines = _text_of(error).strip().splitlines()
        faults = [line for line in lines if line.startswith("[!]")] or lines[-1:] or [str(error)]
        progress.say(f"{job.words[0]} failed: {faults[0]}; by hand: {job.command}")
        return None
    told = job.read(output)
    if told is None:
        progress.say(f"{job.words[0]} printed no time that is known here; by hand: {job.command}")
        return None
    return Told(f"{told.tool} {version}", told.milliseconds) if version else told


def _text_of(error: Exception) -> str:
    """Return what a tool had printed; after a time-out Python gives bytes, though text was asked for."""
    printed = getattr(error, "stdout", None) or ""
    return printed.decode(errors="replace") if isinstance(printed, bytes) else printed


def _output_of(words: tuple[str, ...], folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=True,
        cwd=folder,
        env={**os.environ, **(variables or {})},
    )
    return done.stdout
