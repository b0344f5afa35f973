"""A comparison of bench results as tables for a terminal. Needs rich only."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gi_edge.artifacts.bench_comparison import BenchComparison, Source, SpeedPair, VerdictPair, scenario_words
from gi_edge.metrics.verdict import Status
from gi_edge.report.formats import NOT_MEASURED, text_from_quantity, text_from_rate

_STYLES = {"slower": "bold red", "undecided": "dim", "within": "green"}


def table_from_bench_comparison(comparison: BenchComparison) -> Group:
    """Return verdicts, ratios of medians with intervals, and what differs between the machines."""
    first = comparison.runs[0]
    parts: list[RenderableType] = [Text(f"Compared with {first.name} ({first.device}, {first.created})", style="bold")]
    for run in comparison.runs[1:]:
        parts.append(Text(f"  {run.name}: {run.device}, {run.created}"))
    parts += [_verdict_table(comparison), _speed_table(comparison)]
    if comparison.differences:
        parts.append(_environment_table(comparison))
    return Group(*parts, *(Padding(Text(f"· {note}", style="dim"), (0, 0, 0, 2)) for note in _notes(comparison)))


def _verdict_table(comparison: BenchComparison) -> Table:
    table = _table(("Model", "Result"), ("Verdict before", "Verdict", "File"))
    for pair in comparison.verdicts:
        before, after = map(_status_words, pair.statuses, pair.sources)
        style = "bold red" if pair.is_worse else ""
        table.add_row(pair.model, pair.run, before, Text(after, style=style), _file_words(pair))
    return table


def _status_words(status: Status | None, source: Source | None) -> str:
    if status is None:
        return "not measured"
    return f"{status} at export" if source == "export" else status


def _file_words(pair: VerdictPair) -> str:
    return "the same" if pair.is_same_file else "another"


def _speed_table(comparison: BenchComparison) -> Table:
    limit = comparison.max_regression
    judged = "Slower?" if limit is None else f"Slower by over {text_from_rate(limit)}?"
    several = len(comparison.runs) > 2
    table = _table(
        ("Model", "Scenario", *(("Result",) if several else ())),
        ("p50 ms\nbefore", "p50 ms", "Ratio of medians\n95 % interval", "Missed\nbefore → now", judged),
    )
    for pair in comparison.speeds:
        words = {"slower": "yes", "within": "no", "undecided": "undecided"}[pair.outcome]
        table.add_row(
            pair.model,
            scenario_words(pair),
            *((pair.run,) if several else ()),
            *map(text_from_quantity, pair.p50_ms),
            _ratio_words(pair),
            " → ".join(map(text_from_rate, pair.missed)) if pair.missed else "",
            Text(words, style=_STYLES[pair.outcome]),
        )
    return table


def _ratio_words(pair: SpeedPair) -> str:
    low, high = pair.ratio.low, pair.ratio.high
    interval = NOT_MEASURED if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"{pair.ratio.ratio:.3f}\n{interval}"


def _environment_table(comparison: BenchComparison) -> Table:
    table = _table(("What differs", *(run.name for run in comparison.runs)), ())
    for difference in comparison.differences:
        table.add_row(difference.fact, *(value or NOT_MEASURED for value in difference.values))
    return table


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, highlight=False)
    for heading in left:
        table.add_column(Text(heading), overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def _notes(comparison: BenchComparison) -> Iterator[str]:
    yield (
        "A ratio above 1 is slower. Intervals: block bootstrap of consecutive samples; they hold what varies within a "
        "run, not from one start of the program to the next."
    )
    if any(pair.ratio.low is None for pair in comparison.speeds):
        yield f"{NOT_MEASURED}: fewer than 20 samples in one of the two, which is too few for an interval."
    for pair in comparison.verdicts:
        if pair.is_worse:
            yield f"{pair.model} in {pair.run}: {'; '.join(pair.reasons)}."
    if any(source == "export" for pair in comparison.verdicts for source in pair.sources):
        yield "At export: the run computed in another precision, so that the verdict is the bundle's own."
    yield from (f"{text}." for text in comparison.unpaired)
    if comparison.max_regression is not None:
        yield from (f"Could not be compared: {text}." for text in comparison.not_compared)
    for run in comparison.runs:
        yield from (f"{run.name}: {mark}" for mark in run.marks)
