"""An evaluation as tables for a terminal of 100 columns. Needs rich only."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gi_edge.artifacts.evaluation import EvaluationResult
from gi_edge.metrics.evaluation import Evaluation
from gi_edge.report.evaluation_cells import (
    ScoreCell,
    class_notes,
    class_rows,
    frames_words,
    groups_heading,
    level_words,
    score_notes,
    score_rows,
    temperature_note,
)
from gi_edge.report.evaluation_verdict import (
    comparison_sentences,
    outcome_from_evaluation,
    sentence_from_evaluation,
)
from gi_edge.report.notes import licence_notes

_STYLES = {"pass": "green", "fail": "bold red", "unmeasured": "yellow"}


def table_from_evaluation(result: EvaluationResult) -> Group:
    """Return what was scored, a sentence, the scores beside both baselines, and the classes, in 100 columns or more."""
    evaluation = result.evaluation
    heading = f"{evaluation.model} · {result.runtime} · part {evaluation.part} · {frames_words(evaluation)}"
    parts: list[RenderableType] = [
        Text(heading, style="bold"),
        Text(sentence_from_evaluation(evaluation), style=_STYLES[outcome_from_evaluation(result)]),
        Text(comparison_sentences(evaluation)),
        *_notes((result.split_caution, *licence_notes(result, "model"))),
        _score_table(evaluation),
        *_notes((*score_notes(evaluation), temperature_note(result.temperature))),
        _class_table(evaluation),
        *_notes(class_notes(evaluation)),
    ]
    return Group(*parts)


def _notes(notes: Iterable[str]) -> list[Padding]:
    return [Padding(Text(f"· {note}", style="dim"), (0, 0, 0, 2)) for note in notes]


def _score_table(evaluation: Evaluation) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.add_column("Score")
    is_pixel_free = evaluation.baselines.pixel_free_accuracy is not None
    baselines = ("Majority\nbaseline", "Pixel-free\nbaseline")[: 1 + is_pixel_free]
    for heading in ("Model", level_words(evaluation), *baselines):
        table.add_column(heading, justify="right")
    for row in score_rows(evaluation):
        cells = (row.score.value, row.score.interval, row.majority, row.pixel_free)
        table.add_row(row.name, *cells[: 2 + len(baselines)])
    return table


def _class_table(evaluation: Evaluation) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), highlight=False)
    table.add_column("Class", overflow="fold")
    is_grouped = evaluation.groups is not None
    level = level_words(evaluation)
    for heading in (
        f"Frames\n{groups_heading(evaluation)}" if is_grouped else "Frames",
        f"Sensitivity\n{level}",
        f"Specificity\n{level}",
        "Precision\nF1",
        "AUROC\nAP",
    ):
        table.add_column(heading, justify="right")
    for row in class_rows(evaluation):
        table.add_row(
            Text(row.label),
            f"{row.frames}\n{row.groups}" if is_grouped else row.frames,
            _stacked(row.sensitivity),
            _stacked(row.specificity),
            f"{row.precision.value}\n{row.f1.value}",
            f"{row.auroc.value}\n{row.average_precision.value}",
        )
    return table


def _stacked(cell: ScoreCell) -> Text:
    return Text.assemble(cell.value, "\n", (cell.interval, "dim"))
