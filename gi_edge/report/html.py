"""A bench result as one self-contained page. Needs matplotlib and jinja2 (the report extra)."""

from __future__ import annotations

from dataclasses import dataclass

from gi_edge.artifacts.results import BenchResult, BundleRun
from gi_edge.metrics.classification import Classification
from gi_edge.report.check_rows import CheckRow, check_rows
from gi_edge.report.formats import text_from_count, text_from_megabytes
from gi_edge.report.notes import (
    bound_note,
    command_from_result,
    failure_notes,
    licence_notes,
    limits_note,
    parity_notes,
    percentile_note,
    region_notes,
    spread_note,
    support_note,
    undecided_notes,
)
from gi_edge.report.pages import page_environment
from gi_edge.report.panels import ClassPanel, class_panels, confusion_panels, sameness_sentence
from gi_edge.report.plots import confusion_plot, latency_plot, throughput_plot
from gi_edge.report.rows import LatencyRow, ModelRow, latency_rows_from_bundle, rows_from_bundle, single_latency
from gi_edge.report.standing import sentence_from_result, verdict_from_result


@dataclass(frozen=True)
class _Figure:
    title: str
    svg: str


@dataclass(frozen=True)
class _BundleView:
    """What the template shows of one bundle, ready to print."""

    anchor: str
    run: BundleRun
    frames: str | None
    rows: tuple[ModelRow, ...]
    latency_groups: tuple[tuple[ModelRow, tuple[LatencyRow, ...]], ...]
    latency_svg: str | None
    throughput_svg: str | None
    confusions: tuple[_Figure, ...]
    sameness: str
    class_panels: tuple[ClassPanel, ...]
    majority: str | None
    failure_notes: tuple[str, ...]
    undecided_notes: tuple[str, ...]
    checks: tuple[CheckRow, ...]
    parity_notes: tuple[str, ...]
    licence_notes: tuple[str, ...]
    speed_notes: tuple[str, ...]
    regions: tuple[str, ...]
    support_note: str | None


def page_from_result(result: BenchResult) -> str:
    """Return a self-contained HTML page: verdict, tables, figures, environment, hashes. Equal results, equal bytes."""
    environment = page_environment()
    environment.filters["megabytes"] = text_from_megabytes
    return environment.get_template("bench.html.j2").render(
        result=result,
        sentence=sentence_from_result(result),
        verdict=verdict_from_result(result),
        bound_note=bound_note(result),
        limits_note=limits_note(model.precision for bundle in result.bundles for model in bundle.models),
        command=command_from_result(result),
        bundles=[_view(number, bundle) for number, bundle in enumerate(result.bundles, start=1)],
    )


def _view(number: int, bundle: BundleRun) -> _BundleView:
    anchor = f"bundle-{number}"
    rows = rows_from_bundle(bundle)
    latencies = [latency for model in bundle.models for latency in model.speeds]
    latency_rows = latency_rows_from_bundle(bundle)
    is_single_timed = any(single_latency(model) for model in bundle.models)
    is_several_sizes = len({latency.batch_size for latency in latencies}) > 1
    scored = next((model.parity.reference for model in bundle.models if model.parity), None)
    return _BundleView(
        anchor=anchor,
        run=bundle,
        frames=text_from_count(scored.n) if scored else None,
        rows=rows,
        latency_groups=tuple(
            (row, own) for row in rows if (own := tuple(item for item in latency_rows if item.label == row.label))
        ),
        latency_svg=latency_plot(bundle.models, name=f"{anchor}-latency") if is_single_timed else None,
        throughput_svg=throughput_plot(bundle.models, name=f"{anchor}-speed") if is_several_sizes else None,
        confusions=tuple(
            _Figure(panel.title, _confusion(panel.scores, name=f"{anchor}-confusion-{index}"))
            for index, panel in enumerate(confusion_panels(bundle), start=1)
        ),
        sameness=sameness_sentence(bundle),
        class_panels=class_panels(bundle),
        majority=scored.majority_label if scored else None,
        failure_notes=failure_notes(bundle),
        undecided_notes=undecided_notes(bundle),
        checks=check_rows(bundle),
        parity_notes=parity_notes(bundle),
        licence_notes=licence_notes(bundle),
        speed_notes=tuple(filter(None, (percentile_note(latencies), spread_note(bundle)))),
        regions=region_notes(bundle),
        support_note=support_note(bundle),
    )


def _confusion(scores: Classification, *, name: str) -> str:
    return confusion_plot(scores.confusion, [score.label for score in scores.classes], name=name)
