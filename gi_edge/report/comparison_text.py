"""A comparison of adapters as tables for a terminal of 100 columns. Needs rich only."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gi_edge.artifacts.comparison import COMPARED, ComparedAdapter, Comparison
from gi_edge.metrics.evaluation import Score
from gi_edge.metrics.uncertainty import Difference
from gi_edge.report.evaluation_cells import SCORE_NAMES, frames_words, level_words, score_cell
from gi_edge.report.formats import NOT_MEASURED, text_from_megabytes, text_from_quantity


def table_from_comparison(comparison: Comparison) -> Group:
    """Return what each adapter costs, what it scores, and its paired differences to the first."""
    evaluation = comparison.adapters[0].evaluation
    baselines = evaluation.baselines
    pixel_free = baselines.pixel_free_accuracy
    notes = (
        comparison.split_caution,
        f"Always answering “{baselines.majority_label}” scores {baselines.majority_accuracy:.3f} accuracy and "
        f"{baselines.majority_macro_f1:.3f} macro-F1"
        + (f"; copying the nearest-numbered training frame's label {pixel_free:.3f} accuracy." if pixel_free else "."),
        "Differences are paired: both adapters are scored on the same resampled frames. An interval that holds 0 does "
        "not show a difference, nor that there is none.",
    )
    parts: list[RenderableType] = [
        Text(f"{comparison.dataset} · part test · {frames_words(evaluation)}", style="bold"),
        _cost_table(comparison),
        _score_table(comparison),
    ]
    return Group(*parts, *(Padding(Text(f"· {note}", style="dim"), (0, 0, 0, 2)) for note in notes))


def _cost_table(comparison: Comparison) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.add_column("Adapter", overflow="fold")
    table.add_column("Backbone", overflow="fold")
    table.add_column("Method", overflow="fold")
    for heading in ("Trained\nweights", "Share", "On disk\nMB", "Training\nminutes", "Peak memory\nMB"):
        table.add_column(heading, justify="right")
    for item in comparison.adapters:
        table.add_row(item.name, item.backbone, *_cost_cells(item))
    return table


def _cost_cells(item: ComparedAdapter) -> tuple[str, ...]:
    return (
        item.shape,
        f"{item.trainable_weights:,}",
        f"{item.trainable_weights / item.total_weights:.2%}",
        text_from_megabytes(item.size_bytes),
        NOT_MEASURED if item.train_seconds is None else text_from_quantity(item.train_seconds / 60),
        NOT_MEASURED if item.peak_memory_bytes is None else text_from_megabytes(item.peak_memory_bytes),
    )


def _score_table(comparison: Comparison) -> Table:
    level = level_words(comparison.adapters[0].evaluation)
    first = comparison.adapters[0].name
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    for heading in ("Adapter", "Score"):
        table.add_column(heading, overflow="fold")
    for heading in ("Value", level, f"minus {first}", level):
        table.add_column(heading, justify="right", overflow="fold")
    for item in comparison.adapters:
        for place, name in enumerate(COMPARED):
            score: Score = getattr(item.evaluation.overall, name)
            cell = score_cell(name, score)
            difference = item.differences.get(name)
            table.add_row(
                "" if place else item.name, SCORE_NAMES[name], cell.value, cell.interval, *_difference_cells(difference)
            )
    return table


def _difference_cells(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "", ""
    interval = difference.interval
    if interval.low is None or interval.high is None:
        return f"{difference.difference:+.3f}", interval.undecided or NOT_MEASURED
    return f"{difference.difference:+.3f}", f"{interval.low:+.3f} to {interval.high:+.3f}"
