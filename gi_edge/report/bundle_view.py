"""What the page shows of one bundle, ready to print. Needs matplotlib (the report extra)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

from gi_edge.artifacts.results import BundleRun
from gi_edge.metrics.classification import Classification
from gi_edge.report.check_rows import CheckRow, check_rows
from gi_edge.report.formats import text_from_count
from gi_edge.report.notes import (
    failure_notes,
    licence_notes,
    parity_notes,
    support_note,
    undecided_notes,
)
from gi_edge.report.panels import (
    ClassPanel,
    ComparisonRow,
    FlippedTile,
    class_panels,
    comparison_rows,
    confusion_panels,
    flipped_sentence,
    flipped_tiles,
    sameness_sentence,
)
from gi_edge.report.plots import confusion_plot
from gi_edge.report.rows import ModelRow, rows_from_bundle
from gi_edge.report.speed_notes import percentile_note, region_notes, speed_notes, speed_sentence
from gi_edge.report.speed_plots import deadline_plot, latency_plot, missed_shares, throughput_plot, throughputs
from gi_edge.report.speed_rows import (
    REGION_NAMES,
    CrossRow,
    EnergyRow,
    IdleRow,
    SpeedRow,
    StartupRow,
    cross_rows,
    energy_rows,
    idle_rows,
    speed_rows,
    startup_rows,
)


class _Labelled(Protocol):
    @property
    def label(self) -> str: ...


Row = TypeVar("Row", bound=_Labelled)
Groups = tuple[tuple[str, tuple[Row, ...]], ...]
"""Rows that follow one another and share their model, under its label."""


@dataclass(frozen=True)
class Figure:
    """An SVG and what stands above it."""

    title: str
    svg: str


@dataclass(frozen=True)
class AnswersView:
    """Whether the engine answers as the reference does."""

    frames: str | None
    """Frames compared with the truth; None if none was."""
    majority: str | None
    failure_notes: tuple[str, ...]
    undecided_notes: tuple[str, ...]
    parity_notes: tuple[str, ...]
    checks: Groups[CheckRow]
    flipped: tuple[FlippedTile, ...]
    flipped_sentence: str
    has_pictures: bool
    comparisons: tuple[ComparisonRow, ...]
    has_probes: bool
    confusions: tuple[Figure, ...]
    sameness: str
    class_panels: tuple[ClassPanel, ...]
    support_note: str | None


@dataclass(frozen=True)
class SpeedView:
    """How fast it was."""

    sentence: str | None
    regions: tuple[str, ...]
    notes: tuple[str, ...]
    percentile_note: str | None
    single: Groups[SpeedRow]
    latency: tuple[Figure, ...]
    offline: Groups[SpeedRow]
    throughput_svg: str | None
    paced: Groups[SpeedRow]
    deadline_svg: str | None
    streams: Groups[SpeedRow]
    idle: tuple[IdleRow, ...]
    startup: tuple[StartupRow, ...]
    energy: Groups[EnergyRow]
    crossed: tuple[CrossRow, ...]


@dataclass(frozen=True)
class BundleView:
    """One bundle."""

    anchor: str
    run: BundleRun
    rows: tuple[ModelRow, ...]
    licence_notes: tuple[str, ...]
    answers: AnswersView
    speed: SpeedView


def view_from_bundle(number: int, bundle: BundleRun) -> BundleView:
    """Return the view of the bundle that stands at this place, from 1, in its result."""
    anchor = f"bundle-{number}"
    return BundleView(
        anchor=anchor,
        run=bundle,
        rows=rows_from_bundle(bundle),
        licence_notes=licence_notes(bundle),
        answers=_answers(anchor, bundle),
        speed=_speed(anchor, bundle),
    )


def _answers(anchor: str, bundle: BundleRun) -> AnswersView:
    scored = next((model.parity.reference for model in bundle.models if model.parity), None)
    flipped = flipped_tiles(bundle)
    return AnswersView(
        frames=text_from_count(scored.n) if scored else None,
        majority=scored.majority_label if scored else None,
        failure_notes=failure_notes(bundle),
        undecided_notes=undecided_notes(bundle),
        parity_notes=parity_notes(bundle),
        checks=_grouped(check_rows(bundle)),
        flipped=flipped,
        flipped_sentence=flipped_sentence(bundle),
        has_pictures=any(tile.frame.picture for tile in flipped),
        comparisons=comparison_rows(bundle),
        has_probes=any(item.frames == "probes" for model in bundle.models for item in model.comparisons),
        confusions=tuple(
            Figure(panel.title, _confusion(panel.scores, name=f"{anchor}-confusion-{index}"))
            for index, panel in enumerate(confusion_panels(bundle), start=1)
        ),
        sameness=sameness_sentence(bundle),
        class_panels=class_panels(bundle),
        support_note=support_note(bundle),
    )


def _confusion(scores: Classification, *, name: str) -> str:
    return confusion_plot(scores.confusion, [score.label for score in scores.classes], name=name)


def _speed(anchor: str, bundle: BundleRun) -> SpeedView:
    runs = [run for model in bundle.models for run in model.speeds]
    sizes = {size for points in throughputs(bundle.models).values() for size, _ in points}
    missed = any(share for points in missed_shares(bundle.models).values() for _, share in points)
    return SpeedView(
        sentence=speed_sentence(bundle),
        regions=region_notes(bundle),
        notes=speed_notes(bundle),
        percentile_note=percentile_note(runs),
        single=_grouped(speed_rows(bundle, "single-stream")),
        latency=_latency_figures(anchor, bundle),
        offline=_grouped(speed_rows(bundle, "offline")),
        throughput_svg=throughput_plot(bundle.models, name=f"{anchor}-throughput") if len(sizes) > 1 else None,
        paced=_grouped(speed_rows(bundle, "paced")),
        deadline_svg=deadline_plot(bundle.models, name=f"{anchor}-deadlines") if missed else None,
        streams=_grouped(speed_rows(bundle, "multi-stream")),
        idle=idle_rows(bundle),
        startup=startup_rows(bundle),
        energy=_grouped(energy_rows(bundle)),
        crossed=cross_rows(bundle),
    )


def _latency_figures(anchor: str, bundle: BundleRun) -> tuple[Figure, ...]:
    timed = {run.region for model in bundle.models for run in model.speeds if run.scenario == "single-stream"}
    return tuple(
        Figure(name.capitalize(), latency_plot(bundle.models, region, name=f"{anchor}-latency-{region}"))
        for region, name in REGION_NAMES.items()
        if region in timed
    )


def _grouped(rows: Sequence[Row]) -> Groups[Row]:
    return tuple((label, tuple(own)) for label, own in groupby(rows, key=lambda row: row.label))
