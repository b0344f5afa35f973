"""A bench result as GitHub Markdown. Needs neither matplotlib nor jinja2."""

from __future__ import annotations

from types import MappingProxyType

from gi_edge.artifacts.results import BenchResult, BundleRun
from gi_edge.report.bench_command import Settings, command_from_result
from gi_edge.report.check_rows import check_rows
from gi_edge.report.formats import NOT_MEASURED, text_from_megabytes
from gi_edge.report.markdown_parts import escaped, table
from gi_edge.report.markdown_speed import environment_parts, speed_parts
from gi_edge.report.notes import notes_from_result
from gi_edge.report.panels import (
    class_panels,
    comparison_rows,
    flipped_sentence,
    flipped_tiles,
    sameness_sentence,
)
from gi_edge.report.rows import ModelRow, rows_from_bundle
from gi_edge.report.standing import sentence_from_result

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
    "Deadlines missed",
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
_COMPARISON_HEADINGS = (
    "Bundle",
    "Model",
    "Against",
    "On",
    "Outcome",
    "Why not alike",
    "Class changed",
    "Max. logit difference",
)
_CLASS_HEADINGS = ("Class", "Support", "Sensitivity (recall)", "Precision", "F1", "Reference's F1")


def markdown_from_result(result: BenchResult, defaults: Settings = MappingProxyType({})) -> str:
    """Return the verdict, the tables, the cautions and the file hashes as GitHub Markdown.

    defaults: settings of a run without options, which the command at its end need not name.
    """
    parts = [
        "# gi-edge bench",
        f"**{escaped(sentence_from_result(result))}**",
        *_mark_parts(result),
        "\n".join(_bundle_line(bundle) for bundle in result.bundles),
        "## Models",
        table(_MODEL_HEADINGS, _model_rows(result), words=4),
        *_check_parts(result),
        *_comparison_parts(result),
        *speed_parts(result),
        *(part for bundle in result.bundles for part in (*_class_parts(bundle), *_flipped_parts(bundle))),
        "## Read this with the numbers",
    ]
    for heading, notes in notes_from_result(result).items():
        parts.append(f"**{escaped(heading)}**")
        parts.append("\n".join(f"- {escaped(note)}" for note in notes))
    parts += [*environment_parts(result), "## Files", _file_table(result)]
    parts += ["## How to reproduce", f"```sh\n{command_from_result(result, defaults)}\n```"]
    return "\n\n".join(parts) + "\n"


def _mark_parts(result: BenchResult) -> list[str]:
    if not result.marks:
        return []
    marks = (f"> - {escaped(mark.kind)}: {escaped(mark.text)}" for mark in result.marks)
    return ["\n".join(("> **Doubt the times; the verdict is not touched by this:**", *marks))]


def _bundle_line(bundle: BundleRun) -> str:
    text = (
        f"dataset {bundle.dataset} ({bundle.dataset_licence}), backbone {bundle.backbone} ({bundle.backbone_licence}), "
        f"{len(bundle.classes)} classes, input {bundle.size_px} × {bundle.size_px} px"
    )
    return f"- **{escaped(bundle.name)}**: {escaped(text)}"


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
        row.missed if row.frame_rate == NOT_MEASURED else f"{row.missed} at {row.frame_rate}/s",
        row.megabytes,
    )


def _check_parts(result: BenchResult) -> list[str]:
    rows = [
        (bundle.name, row.label, row.score, row.outcome, row.n, row.difference, row.interval, row.bound, row.margin)
        for bundle in result.bundles
        for row in check_rows(bundle)
    ]
    return ["## Checks, in points (hundredths)", table(_CHECK_HEADINGS, rows, words=4)] if rows else []


def _comparison_parts(result: BenchResult) -> list[str]:
    rows = [
        (bundle.name, row.label, row.against, row.frames, row.outcome, row.reasons, row.flips, row.max_abs_error)
        for bundle in result.bundles
        for row in comparison_rows(bundle)
    ]
    return (
        ["## Compared with something that is not the truth", table(_COMPARISON_HEADINGS, rows, words=6)] if rows else []
    )


def _flipped_parts(bundle: BundleRun) -> list[str]:
    tiles = flipped_tiles(bundle)
    if not tiles:
        return []
    rows = [
        (
            tile.frame.frame,
            tile.frame.label,
            f"{tile.frame.reference} {tile.frame.reference_probability:.2f}",
            "; ".join(f"{label}: {answer} {probability:.2f}" for label, answer, probability in tile.answers),
        )
        for tile in tiles
    ]
    heads = ("Frame", "Truth", "Reference", "Changed by")
    return [
        f"## Changed frames: {escaped(bundle.name)}",
        escaped(flipped_sentence(bundle)),
        table(heads, rows, words=4),
    ]


def _class_parts(bundle: BundleRun) -> list[str]:
    panels = class_panels(bundle)
    title = f"## Classes: {escaped(bundle.name)}"
    if not panels:
        return [title, "Parity was not measured in this run, so there are no scores per class."]
    parts = [title, escaped(sameness_sentence(bundle))]
    for panel in panels:
        rows = ((row.label, row.support, row.recall, row.precision, row.f1, row.reference_f1) for row in panel.rows)
        parts += [f"**{escaped(panel.title)}**", table(_CLASS_HEADINGS, rows, words=1)]
    return parts


def _file_table(result: BenchResult) -> str:
    rows = []
    for bundle in result.bundles:
        rows.append((f"{bundle.name}/manifest.json", bundle.manifest_sha256, ""))
        rows += [
            (f"{bundle.name}/{model.file}", model.sha256, text_from_megabytes(model.size_bytes))
            for model in bundle.models
        ]
    return table(("File", "sha256", "MB"), rows, words=2)
