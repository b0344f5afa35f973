"""Bench bundles: parity first, then speed, in separate passes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata

from gi_edge.artifacts.bundle import Bundle, model_sha256, read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun, NodePlacement
from gi_edge.artifacts.speed import SpeedRun, Startup
from gi_edge.files import sha256_file
from gi_edge.progress import Progress
from gi_edge.runtime.backends import OpenModel
from gi_edge.runtime.nvml import NvmlGpu, nvml_gpu, own_memory_bytes
from gi_edge_bench.calls import Subject
from gi_edge_bench.config import BenchJob, BenchSettings, BenchTarget
from gi_edge_bench.cross_check import check_tools, cross_checks_of
from gi_edge_bench.energy import Meter
from gi_edge_bench.environment import Moment, environment_of, moment_now
from gi_edge_bench.frames import Material, material_of
from gi_edge_bench.machine import CpuTimes, cpu_times, peak_memory_bytes
from gi_edge_bench.marks import marks_of
from gi_edge_bench.models import Candidate, candidates_of, open_candidate
from gi_edge_bench.parity import compare_answers
from gi_edge_bench.scenarios import idle_gap_of, plans_of, time_plan


@dataclass
class _Watch:
    """What is seen of the machine over all runs."""

    gpu: NvmlGpu | None
    reasons: set[str] = field(default_factory=set)
    times: list[tuple[CpuTimes, CpuTimes]] = field(default_factory=list)
    """At the start and the end of each scenario: a neighbour of a few seconds spoils those few."""
    used_gpu: bool = False
    most_others: int = 0
    """Other processes that computed on the GPU at one moment, while a model was timed on it."""

    def others(self, *moments: Moment) -> int:
        """Return the most other processes that a model met on the GPU; 0 where none ran there."""
        seen = (moment.gpu.other_processes or 0 for moment in moments if moment.gpu is not None)
        return max((self.most_others, *seen)) if self.used_gpu else 0


def run(job: BenchJob, progress: Progress) -> BenchResult:
    """Measure every model of every bundle. A failed parity is in the result, not an exception.

    Raises: GiEdgeError if a bundle, its frames or the backend cannot serve.
    """
    if job.settings.cross_check:
        check_tools()
    with nvml_gpu() as gpu:
        watch = _Watch(gpu)
        before = moment_now(gpu, computes=False)
        bundles = tuple(_bundle_run(target, job.settings, watch, progress) for target in job.targets)
        after = moment_now(gpu, computes=watch.used_gpu)
        return BenchResult(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            gi_edge_version=metadata.version("gi-edge"),
            settings=job.settings.model_dump(mode="json"),
            environment=environment_of(gpu, before, after),
            marks=marks_of(bundles, watch.others(before, after), watch.times, watch.reasons),
            bundles=bundles,
        )


def _bundle_run(target: BenchTarget, settings: BenchSettings, watch: _Watch, progress: Progress) -> BundleRun:
    bundle = read_bundle(target.bundle)
    manifest = bundle.manifest
    candidates = candidates_of(bundle, settings, progress)
    material = material_of(target, bundle, progress)
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
        models=tuple(_model_runs(bundle, candidates, material, settings, (watch, progress))),
    )


def _model_runs(
    bundle: Bundle,
    candidates: tuple[Candidate, ...],
    material: Material,
    settings: BenchSettings,
    seen_by: tuple[_Watch, Progress],
) -> Iterator[ModelRun]:
    watch, progress = seen_by
    for candidate in candidates:
        opened = open_candidate(bundle, candidate, material.pixels, progress)
        if opened is None:
            continue
        model, startup = opened
        session = model.session
        progress.say(f"{bundle.manifest.name} {candidate.precision}: {session.runtime}, {session.provider}")
        compared = compare_answers(bundle, model, material, settings.against, pictures=settings.pictures)
        subject = _subject(bundle, model, material)
        speeds = _speeds(
            model, subject, settings, (watch, progress), f"time {bundle.manifest.name} {candidate.precision}"
        )
        yield ModelRun(
            precision=candidate.precision,
            file=model.file.relative_to(bundle.path).as_posix(),
            sha256=model_sha256(model.file),
            size_bytes=model.file.stat().st_size,
            runtime=session.runtime,
            provider=session.provider,
            placements=tuple(
                NodePlacement(provider=item.provider, nodes=item.nodes, operators=item.operators)
                for item in session.placements
            ),
            export_verdict=model.entry.verdict,
            parity=compared.parity,
            comparisons=compared.comparisons,
            idle_gap=idle_gap_of(subject, settings.idle_gap_ms) if "single-stream" in settings.scenarios else None,
            startup=_complete(startup, model, watch),
            speeds=speeds,
            cross_checks=cross_checks_of(model, subject, speeds, settings, progress) if settings.cross_check else (),
        )


def _subject(bundle: Bundle, model: OpenModel, material: Material) -> Subject:
    return Subject(
        session=model.session,
        pixels=material.pixels,
        preprocess=bundle.manifest.preprocess,
        paths=material.paths,
        largest_batch=model.engine.entry.batch.maximum if model.engine else None,
        note=material.note,
    )


def _speeds(
    model: OpenModel, subject: Subject, settings: BenchSettings, seen_by: tuple[_Watch, Progress], title: str
) -> tuple[SpeedRun, ...]:
    watch, progress = seen_by
    on_gpu = _is_on_gpu(model)
    meter = Meter(watch.gpu if on_gpu else None, watch.reasons)
    watch.used_gpu = watch.used_gpu or on_gpu
    speeds = []
    plans = plans_of(settings, subject)
    with progress.task(title, len(plans)) as task:
        for plan in plans:
            before = cpu_times(time.perf_counter())
            speeds.append(time_plan(plan, subject, settings, meter))
            after = cpu_times(time.perf_counter())
            if before is not None and after is not None:
                watch.times.append((before, after))
            task.advance(note=plan.title)
    watch.most_others = max(watch.most_others, meter.most_others)
    return tuple(speeds)


def _is_on_gpu(model: OpenModel) -> bool:
    return model.engine is not None or not model.session.provider.startswith("CPU")


def _complete(startup: Startup, model: OpenModel, watch: _Watch) -> Startup:
    """Add the memory, which is known after the runs only."""
    memory = own_memory_bytes(watch.gpu) if watch.gpu is not None and _is_on_gpu(model) else None
    return startup.model_copy(update={"peak_memory_bytes": peak_memory_bytes(), "gpu_memory_bytes": memory})
