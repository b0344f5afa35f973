"""A bench result as GitHub Markdown. Needs neither matplotlib nor jinja2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gi_edge.artifacts.results import BenchResult, BundleRun
from gi_edge.report.check_rows import check_rows
from gi_edge.report.formats import text_from_megabytes
from gi_edge.report.notes import command_from_result, notes_from_result, percentile_note
from gi_edge.report.panels import class_panels, sameness_sentence
from gi_edge.report.rows import LatencyRow, ModelRow, latency_rows_from_bundle, rows_from_bundle
from gi_edge.report.standing import sentence_from_result

_SPECIAL = re.compile(r"([\\`*_\[\]|~#@])")
_MODEL_HEADINGS = (
    "Bundle",
    "Model",
    "Provider",
    "Verdict",
    "Frames changed",
    "Upper bound at 95 %",
    "Max. logit difference",
    "Macro-F1 engine / reference / majority",
    "Accuracy engine / reference / majority",
    "ms at batch 1: p50 / p90 / p99",
    "Samples",
    "Best images/s",
    "File MB",
)
_CHECK_HEADINGS = (
    "Bundle",
    "Model",
    "Score",
    "Outcome",
    "Frames",
    "Engine minus reference",
    "95 % interval",
    "Loss at most",
    "Margin",
)
_LATENCY_HEADINGS = (
    "Bundle",
    "Model",
    "Batch size",
    "p50 ms",
    "p90 ms",
    "p95 ms",
    "p99 ms",
    "Mean ms",
    "Spread",
    "Samples",
    "Warm-up",
    "Images/s",
)
_CLASS_HEADINGS = ("Class", "Support", "Sensitivity (recall)", "Precision", "F1", "Reference's F1")


def markdown_from_result(result: BenchResult) -> str:
    """Return the verdict, the tables, the cautions and the file hashes as GitHub Markdown."""
    parts = [
        "# gi-edge bench",
        f"**{_escaped(sentence_from_result(result))}**",
        "\n".join(_bundle_line(bundle) for bundle in result.bundles),
        "## Models",
        _table(_MODEL_HEADINGS, _model_rows(result), words=4),
        *_check_parts(result),
        *_speed_parts(result),
        *(part for bundle in result.bundles for part in _class_parts(bundle)),
        "## Read this with the numbers",
    ]
    for heading, notes in notes_from_result(result).items():
        parts.append(f"**{_escaped(heading)}**")
        parts.append("\n".join(f"- {_escaped(note)}" for note in notes))
    parts += ["## Files", _file_table(result), "## How to reproduce", f"```sh\n{command_from_result(result)}\n```"]
    return "\n\n".join(parts) + "\n"


def _bundle_line(bundle: BundleRun) -> str:
    text = (
        f"dataset {bundle.dataset} ({bundle.dataset_licence}), backbone {bundle.backbone} ({bundle.backbone_licence}), "
        f"{len(bundle.classes)} classes, input {bundle.size_px} × {bundle.size_px} px"
    )
    return f"- **{_escaped(bundle.name)}**: {_escaped(text)}"


def _model_rows(result: BenchResult) -> list[tuple[str, ...]]:
    return [_model_cells(bundle, row) for bundle in result.bundles for row in rows_from_bundle(bundle)]


def _model_cells(bundle: BundleRun, row: ModelRow) -> tuple[str, ...]:
    return (
        bundle.name,
        row.label,
        row.provider,
        row.standing.words,
        row.flips,
        row.flip_rate_upper95,
        row.max_abs_error,
        f"{row.macro_f1.engine} / {row.macro_f1.reference} / {row.macro_f1.majority}",
        f"{row.accuracy.engine} / {row.accuracy.reference} / {row.accuracy.majority}",
        f"{row.p50} / {row.p90} / {row.p99}",
        row.count,
        f"{row.images_per_second} at batch {row.best_batch}",
        row.megabytes,
    )


def _check_parts(result: BenchResult) -> list[str]:
    rows = [
        (bundle.name, row.label, row.score, row.outcome, row.n, row.difference, row.interval, row.bound, row.margin)
        for bundle in result.bundles
        for row in check_rows(bundle)
    ]
    return ["## Checks, in points (hundredths)", _table(_CHECK_HEADINGS, rows, words=4)] if rows else []


def _speed_parts(result: BenchResult) -> list[str]:
    rows = [
        (bundle.name, *_latency_cells(row)) for bundle in result.bundles for row in latency_rows_from_bundle(bundle)
    ]
    if not rows:
        return ["## Speed", "Speed was not measured in this run."]
    latencies = (latency for bundle in result.bundles for model in bundle.models for latency in model.speeds)
    absent = percentile_note(latencies)
    return ["## Speed", _table(_LATENCY_HEADINGS, rows, words=2), *([_escaped(absent)] if absent else [])]


def _latency_cells(row: LatencyRow) -> tuple[str, ...]:
    percentiles = (row.p50, row.p90, row.p95, row.p99)
    counts = (row.count, row.warmup_count)
    return (row.label, row.batch_size, *percentiles, row.mean, row.spread, *counts, row.images_per_second)


def _class_parts(bundle: BundleRun) -> list[str]:
    panels = class_panels(bundle)
    title = f"## Classes: {_escaped(bundle.name)}"
    if not panels:
        return [title, "Parity was not measured in this run, so there are no scores per class."]
    parts = [title, _escaped(sameness_sentence(bundle))]
    for panel in panels:
        rows = ((row.label, row.support, row.recall, row.precision, row.f1, row.reference_f1) for row in panel.rows)
        parts += [f"**{_escaped(panel.title)}**", _table(_CLASS_HEADINGS, rows, words=1)]
    return parts


def _file_table(result: BenchResult) -> str:
    rows = []
    for bundle in result.bundles:
        rows.append((f"{bundle.name}/manifest.json", bundle.manifest_sha256, ""))
        rows += [
            (f"{bundle.name}/{model.file}", model.sha256, text_from_megabytes(model.size_bytes))
            for model in bundle.models
        ]
    return _table(("File", "sha256", "MB"), rows, words=2)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Return a table whose first columns hold words and whose others hold numbers."""
    lines = [headings, ["---"] * words + ["---:"] * (len(headings) - words)]
    head = [" | ".join(line) for line in lines]
    body = [" | ".join(_escaped(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in (*head, *body))


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split(" "))
    return _SPECIAL.sub(r"\\\1", re.sub(r"[\r\n]+", " ", one_line))
