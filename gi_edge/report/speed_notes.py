"""Speed in plain words: one sentence on what was found, and what the times do not show."""

from __future__ import annotations

from collections.abc import Iterable

from gi_edge.artifacts.results import BundleRun, ModelRun, NodePlacement
from gi_edge.artifacts.speed import REGIONS, SpeedRun
from gi_edge.metrics.latency import MINIMUM_COUNT
from gi_edge.report.formats import text_from_count, text_from_list, text_from_quantity, text_from_rate
from gi_edge.report.speed_rows import REGION_NAMES, deadline_words, paced_run, run_words, single_latency
from gi_edge.report.standing import labels_from_models

UNSTEADY_ABOVE = 0.025
"""Coefficient of variation above which trtexec calls a measurement unstable."""

_PERCENTILES = ("p90", "p95", "p99")
_REPEATED = ("single-stream", "offline")
_NAMED_RUNS = 3


def speed_sentence(bundle: BundleRun) -> str | None:
    """Return the fastest file's time per frame, and what it misses where frames arrive at a fixed rate; or None."""
    timed = [(run, label, model) for label, model in _labelled(bundle) if (run := single_latency(model))]
    if not timed:
        return None
    first = timed[0][0].region
    alike = [item for item in timed if item[0].region == first]
    run, label, model = min(alike, key=lambda item: item[0].summary.p50_ms)
    rank = f", the fastest of {len(alike)}" if len(alike) > 1 else ""
    sentence = (
        f"One frame takes {text_from_quantity(run.summary.p50_ms)} ms with {label}{rank} (median, "
        f"{REGION_NAMES[run.region]})"
    )
    late = paced_run(model, run.region)
    missed, rate = deadline_words(late)
    if late is None or late.deadlines is None:
        return f"{sentence}."
    if not late.deadlines.missed:
        frames = text_from_count(late.deadlines.frames)
        return f"{sentence}; at {rate} frames per second it answered each of {frames} before the next arrived."
    return f"{sentence}; at {rate} frames per second it missed {missed}."


def percentile_note(runs: Iterable[SpeedRun]) -> str | None:
    """Say which percentiles are absent for want of samples among the runs shown, or None if none is."""
    summaries = [run.summary for run in runs]
    absent = tuple(
        name for name in _PERCENTILES if any(getattr(summary, f"{name}_ms") is None for summary in summaries)
    )
    if not absent:
        return None
    needs = text_from_list(tuple(f"{name} needs {MINIMUM_COUNT[name]}" for name in absent))
    return f"A dash for a percentile means too few samples: {needs} (MLPerf Inference, confidence 0.99)."


def region_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return what one sample spans, for each region that was timed, and every further note on the samples."""
    runs = [run for model in bundle.models for run in model.speeds]
    regions = {run.region for run in runs}
    spans = tuple(
        f"{name.capitalize()}: {REGIONS[region].removeprefix(f'{name}: ')}."
        for region, name in REGION_NAMES.items()
        if region in regions
    )
    remarks: dict[str, list[str]] = {}
    for run in runs:
        if run.note:
            remarks.setdefault(run.note, []).append(run_words(run))
    return (*spans, *(f"{_few(words)}: {note.rstrip('.')}." for note, words in remarks.items()))


def spread_note(bundle: BundleRun) -> str | None:
    """Name the models whose latency varied too much where nothing but the frame changed, or None."""
    worst = {
        label: max(
            (run.summary.coefficient_of_variation for run in model.speeds if run.scenario in _REPEATED), default=0.0
        )
        for label, model in _labelled(bundle)
    }
    unsteady = tuple(f"{label} (up to {text_from_rate(cv)})" for label, cv in worst.items() if cv > UNSTEADY_ABOVE)
    if not unsteady:
        return None
    return (
        f"Latency was unsteady, its standard deviation over its mean above {text_from_rate(UNSTEADY_ABOVE)}, for "
        f"{text_from_list(unsteady)}: other load, clock changes or heat can cause this."
    )


def warm_up_note(bundle: BundleRun) -> str | None:
    """Name the runs whose warm-up ended before the times were steady, or None."""
    cold = [
        f"{label} ({run_words(run)})"
        for label, model in _labelled(bundle)
        for run in model.speeds
        if run.warm_up.is_steady is False
    ]
    return f"The warm-up ended at its time limit before times were steady: {_few(cold)}." if cold else None


def placement_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Say which files have nodes on more than one provider, and which operators left the first."""
    return tuple(
        f"{label} runs on {len(model.placements)} providers: {text_from_list(tuple(map(_place, model.placements)))}. "
        "Data moves between them on every frame."
        for label, model in _labelled(bundle)
        if len(model.placements) > 1
    )


def _place(placement: NodePlacement) -> str:
    operators = f" ({', '.join(placement.operators)})" if placement.operators else ""
    return f"{placement.nodes:,} nodes on {placement.provider}{operators}"


def _few(names: Iterable[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = [f"{len(shown) - _NAMED_RUNS} more"] if len(shown) > _NAMED_RUNS else []
    return text_from_list((*shown[:_NAMED_RUNS], *more))


def speed_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return every caution on the times of a bundle."""
    notes = (warm_up_note(bundle), spread_note(bundle), *placement_notes(bundle))
    return tuple(note for note in notes if note)


def _labelled(bundle: BundleRun) -> list[tuple[str, ModelRun]]:
    return list(zip(labels_from_models(bundle.models), bundle.models, strict=True))
