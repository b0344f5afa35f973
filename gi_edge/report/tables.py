"""Results as tables for a terminal of 110 columns. Needs rich only."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gi_edge.artifacts.results import BenchResult, BundleRun
from gi_edge.metrics.classification import Classification
from gi_edge.report.formats import NOT_MEASURED, text_from_count, text_from_score
from gi_edge.report.notes import notes_from_result
from gi_edge.report.rows import (
    Compared,
    ModelRow,
    class_rows,
    majority_averages,
    rows_from_bundle,
)
from gi_edge.report.speed_notes import percentile_note
from gi_edge.report.speed_rows import single_latency
from gi_edge.report.standing import Standing, sentence_from_result, verdict_from_result

_STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow", "unmeasured": "yellow"}


def table_from_result(result: BenchResult) -> Group:
    """Return the verdict, one row per model file, and the cautions, for a console of 110 columns or more."""
    parts: list[RenderableType] = [
        Text(sentence_from_result(result), style=_STYLES[verdict_from_result(result)]),
        *(Text(f"Doubt the times, {mark.kind}: {mark.text}", style="yellow") for mark in result.marks),
        _model_table(result),
    ]
    for heading, notes in notes_from_result(result).items():
        parts.append(Text(heading, style="bold"))
        parts.extend(_note(note) for note in notes)
    models = [model for bundle in result.bundles for model in bundle.models]
    absent = percentile_note(filter(None, map(single_latency, models)))
    if absent:
        parts.append(_note(absent))
    return Group(*parts)


def _note(text: str) -> Padding:
    return Padding(Text(f"· {text}", style="dim"), (0, 0, 0, 2))


def _model_table(result: BenchResult) -> Table:
    table = Table(box=SIMPLE_HEAD, show_lines=True, pad_edge=False, padding=(0, 1, 0, 0), highlight=False)
    table.add_column("Model\nprovider", overflow="fold", max_width=26)
    table.add_column("Verdict\nchanged frames\nupper 95 %")
    for heading in (
        "Logits\nmax |Δ|",
        "Macro-F1\nengine\nreference\nmajority",
        "Accuracy\nengine\nreference\nmajority",
        "ms, batch 1\np50\np90\np99 (count)",
        "Best\nimages/s\n@ batch",
        "Deadlines\nmissed\n@ frames/s",
        "File\nMB",
    ):
        table.add_column(heading, justify="right")
    for bundle in result.bundles:
        for row in rows_from_bundle(bundle):
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in _cells(bundle, row)))
    return table


def _cells(bundle: BundleRun, row: ModelRow) -> tuple[str | Text, ...]:
    verdict = Text(row.standing.words, style=_verdict_style(row.standing))
    compared = f"\n{row.flips}\n≤ {row.flip_rate_upper95}" if row.standing.is_measured else ""
    return (
        Text.assemble((bundle.name, "bold"), f" {row.label}\n{row.provider.removesuffix('ExecutionProvider')}"),
        verdict.append(compared, style="default not bold"),
        row.max_abs_error,
        _stacked(row.macro_f1),
        _stacked(row.accuracy),
        f"{row.p50}\n{row.p90}\n{row.p99} ({row.count})",
        f"{row.images_per_second}\n@ {row.best_batch}",
        f"{row.missed}\n@ {row.frame_rate}",
        row.megabytes,
    )


def _verdict_style(standing: Standing) -> str:
    if standing.outcome == "fail":
        return _STYLES["fail"]
    return _STYLES["pass" if standing.source == "here" and standing.outcome == "pass" else "unmeasured"]


def _stacked(scores: Compared) -> str:
    return f"{scores.engine}\n{scores.reference}\n{scores.majority}"


def table_from_classification(scores: Classification, title: str) -> Group:
    """Return the scores of a classifier: the averages beside the majority baseline, then every class."""
    return Group(
        Text(f"{title} · {text_from_count(scores.n)} frames", style="bold"),
        _average_table(scores),
        _class_table(scores),
        _note(
            "Macro: mean over the classes that occur here, each counted alike. Weighted: by number of frames, so "
            "that frequent classes decide."
        ),
        _note(f"Baseline: always answering {scores.majority_label!r}, the most frequent class of the training part."),
    )


def _average_table(scores: Classification) -> Table:
    macro, weighted = majority_averages(scores)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.add_column("Score")
    table.add_column("Model", justify="right")
    table.add_column("Majority baseline", justify="right")
    for name, own, baseline in (
        ("accuracy", scores.accuracy, scores.majority_accuracy),
        ("macro precision", scores.macro.precision, macro.precision),
        ("macro recall", scores.macro.recall, macro.recall),
        ("macro F1", scores.macro.f1, scores.majority_macro_f1),
        ("weighted precision", scores.weighted.precision, weighted.precision),
        ("weighted recall", scores.weighted.recall, weighted.recall),
        ("weighted F1", scores.weighted.f1, weighted.f1),
        ("MCC, multi-class", scores.mcc, 0.0),
    ):
        table.add_row(name, text_from_score(own), text_from_score(baseline))
    return table


def _class_table(scores: Classification) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.add_column("Class", overflow="fold")
    for heading in ("Frames", "Precision", "Recall", "F1"):
        table.add_column(heading, justify="right")
    for row in class_rows(scores, scores):
        table.add_row(Text(row.label), row.support, row.precision, row.recall, row.f1)
    if any(NOT_MEASURED in (row.recall, row.precision) for row in class_rows(scores, scores)):
        table.caption = f"{NOT_MEASURED}: no frame of the class for recall, no answer of it for precision"
    return table
