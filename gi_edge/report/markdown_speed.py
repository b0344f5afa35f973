"""All that was timed, and where, as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from gi_edge.artifacts.results import BenchResult, BundleRun
from gi_edge.artifacts.speed import Scenario
from gi_edge.report.environment_rows import environment_facts, gpu_panels
from gi_edge.report.markdown_parts import escaped, table
from gi_edge.report.speed_notes import percentile_note, speed_sentence
from gi_edge.report.speed_rows import cross_rows, energy_rows, idle_rows, speed_rows, startup_rows

Row = TypeVar("Row")

_PERCENTILES = {"p50 ms": "p50", "p90 ms": "p90", "p95 ms": "p95", "p99 ms": "p99"}
_SAMPLES = {"Samples": "count", "Spread": "spread", "Warm-up": "warm_up"}
_SCENARIOS: tuple[tuple[Scenario, str, dict[str, str]], ...] = (
    (
        "single-stream",
        "One frame at a time",
        {**_PERCENTILES, "Mean ms": "mean", **_SAMPLES, "Images/s": "images_per_second"},
    ),
    (
        "paced",
        "Frames that arrive at a fixed rate",
        {
            "Frames/s": "frame_rate",
            "Deadline ms": "deadline",
            "Missed": "missed",
            "Share missed": "missed_share",
            **_PERCENTILES,
        },
    ),
    ("offline", "Batches", {"Batch size": "batch_size", **_PERCENTILES, **_SAMPLES, "Images/s": "images_per_second"}),
    (
        "multi-stream",
        "Several callers at once",
        {"Callers": "streams", **_PERCENTILES, **_SAMPLES, "Images/s": "images_per_second"},
    ),
)
_STARTUP = {
    "File MB": "file_megabytes",
    "Load ms": "load_ms",
    "First inference ms": "first_inference_ms",
    "Memory MB": "memory_megabytes",
    "GPU memory MB": "gpu_memory_megabytes",
}
_IDLE = {"Pause ms": "gap_ms", "After ms": "after", "Without ms": "back_to_back", "Ratio": "ratio", "Samples": "count"}
_ENERGY = {"Run": "run", "Method": "method", "mJ per frame": "millijoules", "Mean W": "watts", "Seconds": "seconds"}
_CROSS = {
    "Tool": "tool",
    "Figure": "statistic",
    "Command": "command",
    "Batch size": "batch_size",
    "Theirs ms": "theirs",
    "Ours ms": "ours",
    "Ours / theirs": "ratio",
}


def speed_parts(result: BenchResult) -> list[str]:
    """Return a heading and a table for each kind of timing that the result has."""
    runs = [run for bundle in result.bundles for model in bundle.models for run in model.speeds]
    parts = ["## Speed", "" if runs else "Speed was not measured in this run."]
    sentences = [(bundle.name, speed_sentence(bundle)) for bundle in result.bundles]
    parts.append("\n".join(f"- **{escaped(name)}**: {escaped(words)}" for name, words in sentences if words))
    for scenario, title, columns in _SCENARIOS:
        rows = [(bundle.name, row) for bundle in result.bundles for row in speed_rows(bundle, scenario)]
        parts += _titled(title, {"Spans": "region", **columns}, rows, words=3)
    absent = percentile_note(runs)
    parts += [escaped(absent)] if absent else []
    parts += _titled("After a pause", _IDLE, _rows(result, idle_rows), words=2)
    parts += _titled("Energy of the GPU", _ENERGY, _rows(result, energy_rows), words=4)
    parts += _titled("Other tools", _CROSS, _rows(result, cross_rows), words=5)
    parts += _titled("Until the first answer", _STARTUP, _rows(result, startup_rows), words=2)
    return [part for part in parts if part]


def environment_parts(result: BenchResult) -> list[str]:
    """Return the machine, its software, and the state of its GPUs before and after."""
    facts = "\n".join(f"- {escaped(name)}: {escaped(words)}" for name, words in environment_facts(result))
    parts = ["## Environment", facts]
    for panel in gpu_panels(result.environment):
        parts.append(f"**{escaped(panel.title)}**: {escaped(panel.facts)}")
        if panel.rows:
            parts.append(table(("By NVML", "Before", "After"), panel.rows, words=1))
    return parts


def _rows(result: BenchResult, rows_of: Callable[[BundleRun], Iterable[Row]]) -> list[tuple[str, Row]]:
    return [(bundle.name, row) for bundle in result.bundles for row in rows_of(bundle)]


def _titled(title: str, columns: dict[str, str], rows: Sequence[tuple[str, object]], *, words: int) -> list[str]:
    if not rows:
        return []
    cells = [(name, *(str(getattr(row, field)) for field in ("label", *columns.values()))) for name, row in rows]
    return [f"### {title}", table(("Bundle", "Model", *columns), cells, words=words)]
