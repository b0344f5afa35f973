"""Which models of a bundle are measured, on which backend, and what it takes until one answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.engine import read_engines
from gi_edge.artifacts.speed import Startup
from gi_edge.errors import ArtifactError, MissingDependencyError, RuntimeUnavailableError
from gi_edge.metrics.parity import Precision
from gi_edge.progress import Progress
from gi_edge.runtime.backends import OpenModel, load_runtime, open_model
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.session import NOT_IN_ONNX_RUNTIME, Backend
from gi_edge_bench.config import BenchSettings


@dataclass(frozen=True)
class Candidate:
    """A model to measure."""

    precision: Precision
    backend: Backend
    is_optional: bool = False
    """Whether it is left out, and told, where the backend cannot serve."""


def candidates_of(bundle: Bundle, settings: BenchSettings, progress: Progress) -> tuple[Candidate, ...]:
    """List the models to measure: those named, or all that the backend has operators for; then fitting engines.

    Raises: ArtifactError if an engine of the bundle is not whole.
    """
    name, backend = bundle.manifest.name, settings.backend
    if backend.runtime == "onnxruntime":
        lacking: tuple[Precision, ...] = () if settings.precisions else NOT_IN_ONNX_RUNTIME
        known = settings.precisions or tuple(entry.precision for entry in bundle.models("onnxruntime"))
        left_out = [precision for precision in known if precision in lacking]
        if left_out:
            words = ", ".join(left_out)
            progress.say(f"{name} {words}: left out, ONNX Runtime lacks its operators; it is for TensorRT")
        found = [Candidate(precision, backend) for precision in known if precision not in lacking]
    else:
        built = {engine.entry.precision for engine in read_engines(bundle) if engine.entry.runtime == backend.runtime}
        known = settings.precisions or tuple(
            entry.precision for entry in bundle.models("tensorrt") if entry.precision in built
        )
        # Without an engine, opening fp32 tells what there is and how to build one.
        found = [Candidate(precision, backend) for precision in known or ("fp32",)]
    return (*found, *(_engines_besides(bundle, settings, progress) if settings.with_engines else ()))


def _engines_besides(bundle: Bundle, settings: BenchSettings, progress: Progress) -> Iterator[Candidate]:
    engines = read_engines(bundle)
    if engines and cuda_device() is None:
        progress.say(f"{bundle.manifest.name}: its engines are left out, this machine has no GPU")
        return
    seen = set()
    for engine in engines:
        kind = engine.entry.precision, engine.entry.runtime
        if kind in seen or (settings.precisions and engine.entry.precision not in settings.precisions):
            continue
        seen.add(kind)
        backend = Backend(runtime=engine.entry.runtime)
        yield Candidate(engine.entry.precision, backend, is_optional=True)


def _check_single_frames(bundle: Bundle, model: OpenModel) -> None:
    if model.engine is not None and model.engine.entry.batch.minimum > 1:
        batch = model.engine.entry.batch
        raise RuntimeUnavailableError(
            f"{model.file} takes {batch.minimum} frames at least (batch {batch.text}); bench times single ones too",
            fix=f"gi-edge engine {bundle.manifest.name} --batch 1:{batch.optimum}:{batch.maximum} --force",
        )


def open_candidate(
    bundle: Bundle, candidate: Candidate, pixels: NDArray[np.uint8], progress: Progress
) -> tuple[OpenModel, Startup] | None:
    """Load a model and let it answer once; None, and why, if it is optional and its backend cannot serve.

    pixels: [n, size, size, 3], of which the first frame is answered.
    """
    try:
        load_runtime(candidate.backend)  # once per process, whichever model comes first
        started = time.perf_counter()
        model = open_model(bundle, candidate.precision, candidate.backend)
        _check_single_frames(bundle, model)
    except (RuntimeUnavailableError, MissingDependencyError, ArtifactError) as error:
        if not candidate.is_optional:
            raise
        progress.say(
            f"{bundle.manifest.name} {candidate.precision}: the {candidate.backend.runtime} engine is left out: {error}"
        )
        return None
    load_ms = (time.perf_counter() - started) * 1e3
    started = time.perf_counter()
    model.session.run(np.asarray(pixels[:1]))
    first_ms = (time.perf_counter() - started) * 1e3
    return model, Startup(load_ms=load_ms, first_inference_ms=first_ms, peak_memory_bytes=None)
