"""Bench bundles: parity first, then speed, in separate passes."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, ModelEntry, read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun
from gi_edge.artifacts.speed import Startup
from gi_edge.files import sha256_file
from gi_edge.progress import Progress
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import NOT_IN_ONNX_RUNTIME
from gi_edge_bench.config import BenchJob, BenchSettings, BenchTarget
from gi_edge_bench.environment import environment_now
from gi_edge_bench.parity import HeldOut, dataset_frames, packed_frames, parity_pass
from gi_edge_bench.timing import time_session


def run(job: BenchJob, progress: Progress) -> BenchResult:
    """Measure every model of every bundle. A failed parity is in the result, not an exception.

    Raises: GiEdgeError if a bundle, its frames or the provider cannot serve.
    """
    bundles = tuple(_bundle_run(target, job.settings, progress) for target in job.targets)
    return BenchResult(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        gi_edge_version=metadata.version("gi-edge"),
        settings=job.settings.model_dump(mode="json"),
        environment=environment_now(),
        bundles=bundles,
    )


def _bundle_run(target: BenchTarget, settings: BenchSettings, progress: Progress) -> BundleRun:
    bundle = read_bundle(target.bundle)
    manifest = bundle.manifest
    entries = [bundle.model(precision) for precision in settings.precisions]
    if not entries:
        entries = [entry for entry in bundle.models("onnxruntime") if entry.precision not in NOT_IN_ONNX_RUNTIME]
        lacking = sorted({entry.precision for entry in manifest.models}.intersection(NOT_IN_ONNX_RUNTIME))
        if lacking:
            words = ", ".join(lacking)
            progress.say(f"{manifest.name} {words}: left out, ONNX Runtime lacks its operators; it is for TensorRT")
    held_out = _held_out(target, bundle, progress)
    models = tuple(_model_run(bundle, entry, held_out, settings, progress) for entry in entries)
    return BundleRun(
        name=manifest.name,
        manifest_sha256=sha256_file(bundle.path / MANIFEST),
        dataset=manifest.dataset.name,
        dataset_licence=manifest.dataset.licence,
        backbone=manifest.backbone.architecture,
        backbone_licence=manifest.backbone.licence,
        classes=manifest.classes,
        split_kind=manifest.split.kind,
        split_caution=manifest.split.caution,
        size_px=manifest.preprocess.size_px,
        models=models,
    )


def _held_out(target: BenchTarget, bundle: Bundle, progress: Progress) -> HeldOut | None:
    if target.data is not None:
        return dataset_frames(bundle, target.data, progress)
    if not target.samples:
        return None
    progress.say(f"{bundle.manifest.name}: compared on the {len(bundle.manifest.samples)} frames packed in the bundle")
    return packed_frames(bundle, progress)


def _model_run(
    bundle: Bundle, entry: ModelEntry, held_out: HeldOut | None, settings: BenchSettings, progress: Progress
) -> ModelRun:
    path = bundle.path / entry.path
    started = time.perf_counter()
    session = open_session(path, settings.provider, settings.threads)
    load_ms = (time.perf_counter() - started) * 1e3
    title = f"{bundle.manifest.name} {entry.precision}"
    progress.say(f"{title}: {session.runtime}, {session.provider}")
    pixels = _random_pixels(bundle.manifest.preprocess.size_px) if held_out is None else held_out.frames.pixels
    started = time.perf_counter()
    session.run(np.asarray(pixels[:1]))
    first_ms = (time.perf_counter() - started) * 1e3
    parity = None if held_out is None else parity_pass(session, bundle, entry, held_out)
    note = "random pixels, since no dataset was given" if held_out is None else ""
    speeds = []
    with progress.task(f"time {title}", len(settings.batch_sizes)) as task:
        for size in settings.batch_sizes:
            speeds.append(time_session(session, pixels, size, settings, note))
            task.advance()
    return ModelRun(
        precision=entry.precision,
        file=entry.path,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        runtime=session.runtime,
        provider=session.provider,
        startup=Startup(load_ms=load_ms, first_inference_ms=first_ms, peak_memory_bytes=None),
        export_verdict=entry.verdict,
        parity=parity,
        speeds=tuple(speeds),
    )


def _random_pixels(size_px: int) -> NDArray[np.uint8]:
    """For speed alone: a network without branches does the same work on any pixels."""
    return np.random.default_rng(0).integers(0, 256, (8, size_px, size_px, 3), dtype=np.uint8)
