"""The rows of all that was timed: which run stands for what, and its numbers as formatted text."""

from __future__ import annotations

from dataclasses import dataclass

from gi_edge.artifacts.results import BundleRun, ModelRun
from gi_edge.artifacts.speed import Region, Scenario, SpeedRun
from gi_edge.report.formats import (
    NOT_MEASURED,
    text_from_count,
    text_from_megabytes,
    text_from_quantity,
    text_from_rate,
)
from gi_edge.report.standing import labels_from_models

REGION_NAMES: dict[Region, str] = {
    "host": "pixels to logits",
    "device": "computing alone",
    "file": "file to label",
}
"""Short names of what a sample spans; in this order, the first that was timed stands for a model file."""

USUAL_FRAME_RATE = 30.0
"""Frames per second of most endoscopes; the rate that one-line summaries show where it was timed."""


@dataclass(frozen=True)
class SpeedRow:
    """One timed scenario, in milliseconds per batch."""

    label: str
    scenario: Scenario
    region: str
    batch_size: str
    streams: str
    clock: str
    count: str
    warm_up: str
    mean: str
    p50: str
    p90: str
    p95: str
    p99: str
    spread: str
    """Standard deviation over mean, in percent."""
    images_per_second: str
    frame_rate: str
    deadline: str
    missed: str
    """Frames answered too late or not at all, of all that arrived: "48 / 1,500"."""
    missed_share: str
    note: str


@dataclass(frozen=True)
class StartupRow:
    """What a model file costs until its first answer; milliseconds and megabytes."""

    label: str
    file_megabytes: str
    load_ms: str
    first_inference_ms: str
    memory_megabytes: str
    gpu_memory_megabytes: str


@dataclass(frozen=True)
class IdleRow:
    """Median of single frames after a pause, beside the same without one, in milliseconds."""

    label: str
    gap_ms: str
    count: str
    after: str
    back_to_back: str
    ratio: str


@dataclass(frozen=True)
class EnergyRow:
    """What the GPU drew in one scenario."""

    label: str
    run: str
    """Scenario, region and batch size in words."""
    millijoules: str
    watts: str
    seconds: str
    method: str


@dataclass(frozen=True)
class CrossRow:
    """Another tool's timing beside ours."""

    label: str
    tool: str
    statistic: str
    batch_size: str
    theirs: str
    ours: str
    ratio: str
    command: str


def single_latency(model: ModelRun) -> SpeedRun | None:
    """Return the run of one frame after another that stands for the file, by REGION_NAMES; None if there is none."""
    runs = {run.region: run for run in reversed(model.speeds) if run.scenario == "single-stream"}
    return next((runs[region] for region in REGION_NAMES if region in runs), None)


def throughput_runs(model: ModelRun) -> tuple[SpeedRun, ...]:
    """Return the runs that show images per second by batch size: offline, and single frames where size 1 is not."""
    offline = [run for run in model.speeds if run.scenario == "offline"]
    have = {(run.region, run.batch_size) for run in offline}
    regions = {run.region for run in offline} or set(REGION_NAMES)
    singles = (
        run
        for run in model.speeds
        if run.scenario == "single-stream" and run.region in regions and (run.region, run.batch_size) not in have
    )
    return (*singles, *offline)


def best_throughput(model: ModelRun) -> SpeedRun | None:
    """Return the run with the most images per second, of the first region of REGION_NAMES that was timed."""
    runs = throughput_runs(model)
    for region in REGION_NAMES:
        own = [run for run in runs if run.region == region]
        if own:
            return max(own, key=lambda run: run.images_per_second)
    return None


def paced_run(model: ModelRun, region: Region | None = None) -> SpeedRun | None:
    """Return the paced run nearest to the usual frame rate, or None if there is none.

    region: what its samples must span; unless given, the first of REGION_NAMES that was paced.
    """
    runs = {(run.region, run.deadlines.frame_rate): run for run in model.speeds if run.deadlines}
    wanted = region or next((name for name in REGION_NAMES if any(name == paced for paced, _ in runs)), None)
    rates = [rate for paced, rate in runs if paced == wanted]
    if wanted is None or not rates:
        return None
    return runs[wanted, min(rates, key=lambda rate: abs(rate - USUAL_FRAME_RATE))]


def deadline_words(run: SpeedRun | None) -> tuple[str, str]:
    """Return missed of all frames, and the rate at which they came: "48 / 1,500" and "30"; dashes for None."""
    if run is None or run.deadlines is None:
        return NOT_MEASURED, NOT_MEASURED
    late = run.deadlines
    return f"{text_from_count(late.missed)} / {text_from_count(late.frames)}", f"{late.frame_rate:g}"


def speed_rows(bundle: BundleRun, *scenarios: Scenario) -> tuple[SpeedRow, ...]:
    """Return one row per model file and timed run, of these scenarios or of all; small batches come first."""
    return tuple(
        _speed_row(label, run)
        for label, model in _labelled(bundle)
        for run in sorted(model.speeds, key=lambda run: (run.batch_size, run.streams))
        if not scenarios or run.scenario in scenarios
    )


def _speed_row(label: str, run: SpeedRun) -> SpeedRow:
    summary, warm_up, late = run.summary, run.warm_up, run.deadlines
    missed, rate = deadline_words(run)
    return SpeedRow(
        label=label,
        scenario=run.scenario,
        region=REGION_NAMES[run.region],
        batch_size=text_from_count(run.batch_size),
        streams=text_from_count(run.streams),
        clock="CUDA events" if run.clock == "cuda events" else "host",
        count=text_from_count(summary.count),
        warm_up=f"{text_from_count(warm_up.count)}{', not steady' if warm_up.is_steady is False else ''}",
        mean=text_from_quantity(summary.mean_ms),
        p50=text_from_quantity(summary.p50_ms),
        p90=text_from_quantity(summary.p90_ms),
        p95=text_from_quantity(summary.p95_ms),
        p99=text_from_quantity(summary.p99_ms),
        spread=text_from_rate(summary.coefficient_of_variation),
        images_per_second=text_from_quantity(run.images_per_second),
        frame_rate=rate,
        deadline=text_from_quantity(late.deadline_ms if late else None),
        missed=missed,
        missed_share=text_from_rate(late.missed / late.frames) if late and late.frames else NOT_MEASURED,
        note=run.note,
    )


def startup_rows(bundle: BundleRun) -> tuple[StartupRow, ...]:
    """Return one row per model file."""
    return tuple(
        StartupRow(
            label=label,
            file_megabytes=text_from_megabytes(model.size_bytes),
            load_ms=text_from_quantity(model.startup.load_ms),
            first_inference_ms=text_from_quantity(model.startup.first_inference_ms),
            memory_megabytes=_memory(model.startup.peak_memory_bytes),
            gpu_memory_megabytes=_memory(model.startup.gpu_memory_bytes),
        )
        for label, model in _labelled(bundle)
    )


def _memory(size_bytes: int | None) -> str:
    return NOT_MEASURED if size_bytes is None else text_from_megabytes(size_bytes)


def idle_rows(bundle: BundleRun) -> tuple[IdleRow, ...]:
    """Return one row per model file that was timed after pauses."""
    return tuple(
        IdleRow(
            label=label,
            gap_ms=text_from_quantity(gap.gap_ms),
            count=text_from_count(gap.count),
            after=text_from_quantity(gap.p50_ms),
            back_to_back=text_from_quantity(gap.back_to_back_p50_ms),
            ratio=f"{gap.p50_ms / gap.back_to_back_p50_ms:.2f} ×" if gap.back_to_back_p50_ms else NOT_MEASURED,
        )
        for label, model in _labelled(bundle)
        if (gap := model.idle_gap)
    )


def energy_rows(bundle: BundleRun) -> tuple[EnergyRow, ...]:
    """Return one row per timed run whose energy was measured."""
    return tuple(
        EnergyRow(
            label=label,
            run=run_words(run),
            millijoules=text_from_quantity(run.energy.millijoules_per_frame),
            watts=text_from_quantity(run.energy.mean_watts),
            seconds=text_from_quantity(run.energy.seconds),
            method=run.energy.method,
        )
        for label, model in _labelled(bundle)
        for run in model.speeds
        if run.energy
    )


def run_words(run: SpeedRun) -> str:
    """Return what tells a run from the others of its file: "offline, pixels to logits, batch 16"."""
    parts = [run.scenario, REGION_NAMES[run.region]]
    if run.batch_size > 1:
        parts.append(f"batch {run.batch_size}")
    if run.streams > 1:
        parts.append(f"{run.streams} callers")
    if run.deadlines:
        parts.append(f"{run.deadlines.frame_rate:g} frames per second")
    return ", ".join(parts)


def cross_rows(bundle: BundleRun) -> tuple[CrossRow, ...]:
    """Return one row per model file and other tool."""
    return tuple(
        CrossRow(
            label=label,
            tool=check.tool,
            statistic=check.statistic,
            batch_size=text_from_count(check.batch_size),
            theirs=text_from_quantity(check.their_ms),
            ours=text_from_quantity(check.our_ms),
            ratio=f"{check.ratio:.2f}" if check.their_ms else NOT_MEASURED,
            command=check.command,
        )
        for label, model in _labelled(bundle)
        for check in model.cross_checks
    )


def _labelled(bundle: BundleRun) -> list[tuple[str, ModelRun]]:
    return list(zip(labels_from_models(bundle.models), bundle.models, strict=True))
