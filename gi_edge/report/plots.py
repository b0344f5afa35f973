"""Figures of a bench run as SVG text. Needs matplotlib (the report extra); never touches pyplot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from gi_edge.artifacts.results import ModelRun
from gi_edge.artifacts.speed import SpeedRun
from gi_edge.report.formats import text_from_count, text_from_quantity
from gi_edge.report.rows import single_latency
from gi_edge.report.standing import labels_from_models
from gi_edge.report.svg import CELL, CELL_INK, INK, LINE, MUTED, SERIES, drawing, svg_from_figure

WIDE_RATIO = 8.0
"""From this ratio of the slowest to the fastest sample on, the time axis is logarithmic."""

_POINTS_PER_INCH = 72
_MARKS = (("p50", "-"), ("p90", "--"), ("p99", ":"))
_MARKERS = "osD^vPX*"
_DARK_CELL = 0.7
_SLANTED_CLASSES = 14


def latency_plot(models: Sequence[ModelRun], *, name: str) -> str:
    """Return the distribution of latency samples at batch size 1, one row per model, in milliseconds.

    p50 is a solid line, p90 dashed, p99 dotted; one without enough samples is absent. name is the prefix of
    ids in the SVG.

    Raises: ValueError if no model was timed at batch size 1.
    """
    timed = [
        (number, label, latency)
        for number, (label, model) in enumerate(zip(labels_from_models(tuple(models)), models, strict=True))
        if (latency := single_latency(model))
    ]
    if not timed:
        raise ValueError("no model was timed at batch size 1")
    low = min(min(latency.samples_ms) for _, _, latency in timed)
    high = max(max(latency.samples_ms) for _, _, latency in timed)
    is_wide = high > WIDE_RATIO * low > 0
    with drawing(name) as figure:
        figure.set_size_inches(460 / _POINTS_PER_INCH, 96 * len(timed) / _POINTS_PER_INCH)
        grid = figure.subplots(len(timed), 1, sharex=True, squeeze=False)
        for axes, (number, label, latency) in zip(grid[:, 0], timed, strict=True):
            _draw_latency(axes, latency, label, SERIES[number % len(SERIES)], is_wide=is_wide)
        last: Axes = grid[-1, 0]
        margin = (high - low) * 0.04 or high * 0.05 or 1.0
        last.set_xlim((low / 1.1, high * 1.1) if is_wide else (max(low - margin, 0.0), high + margin))
        last.set_xlabel(f"milliseconds per frame, batch size 1{', logarithmic' if is_wide else ''}")
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, hspace=0.62)
        return svg_from_figure(figure, name=name, label="Distribution of latency per model")


def _draw_latency(axes: Axes, latency: SpeedRun, label: str, colour: str, *, is_wide: bool) -> None:
    samples = np.asarray(latency.samples_ms, dtype=np.float64)
    counts, edges = np.histogram(samples, bins=_bin_edges(samples, is_wide=is_wide))
    axes.stairs(counts / counts.max(), edges, fill=True, facecolor=colour, edgecolor="none", alpha=0.45)
    for percentile, line in _MARKS:
        value = getattr(latency.summary, f"{percentile}_ms")
        if value is not None:
            axes.plot([value, value], [0, 1.08], line, color=colour, linewidth=1.8, solid_capstyle="butt")
    if is_wide:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, 1.12)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", length=3)
    axes.text(0, 1.27, label, transform=axes.transAxes, fontsize=12, fontweight="bold")
    axes.text(0, 1.09, _latency_words(latency), transform=axes.transAxes, fontsize=11, color=MUTED)


def _bin_edges(samples: NDArray[np.float64], *, is_wide: bool) -> NDArray[np.float64]:
    low, high = float(samples.min()), float(samples.max())
    if high <= low:
        half = low * 0.005 or 0.5
        return np.array([low - half, high + half])
    return np.geomspace(low, high, 49) if is_wide else np.linspace(low, high, 49)


def _latency_words(latency: SpeedRun) -> str:
    values = " · ".join(
        f"{percentile} {text_from_quantity(getattr(latency.summary, f'{percentile}_ms'))}" for percentile, _ in _MARKS
    )
    return f"{values} ms · {text_from_count(latency.summary.count)} samples"


def throughput_plot(models: Sequence[ModelRun], *, name: str) -> str:
    """Return images per second against batch size, one line per model. name is the prefix of ids in the SVG.

    Raises: ValueError if no model was timed.
    """
    sizes = sorted({latency.batch_size for model in models for latency in model.speeds})
    if not sizes:
        raise ValueError("no model was timed")
    with drawing(name) as figure:
        figure.set_size_inches(410 / _POINTS_PER_INCH, 230 / _POINTS_PER_INCH)
        axes = figure.add_axes((0, 0, 1, 1))
        for number, (label, points) in enumerate(_throughputs(models).items()):
            axes.plot(
                *zip(*sorted(points), strict=True),
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=7,
                linewidth=2,
                color=SERIES[number % len(SERIES)],
                label=label,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.set_ylim(0, 1.08 * max(latency.images_per_second for model in models for latency in model.speeds))
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("batch size, frames")
        axes.set_ylabel("images per second")
        axes.legend(
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=2 if len(models) == len(axes.lines) else 1,
            borderaxespad=0.2,
        )
        return svg_from_figure(figure, name=name, label="Images per second against batch size")


def _throughputs(models: Sequence[ModelRun]) -> dict[str, list[tuple[int, float]]]:
    """Points of batch size and images per second by model, and by timed region where there are several."""
    regions = {latency.timed_region for model in models for latency in model.speeds}
    lines: dict[str, list[tuple[int, float]]] = {}
    for label, model in zip(labels_from_models(tuple(models)), models, strict=True):
        for latency in model.speeds:
            line = label if len(regions) == 1 else f"{label}, {latency.timed_region}"
            lines.setdefault(line, []).append((latency.batch_size, latency.images_per_second))
    return lines


def confusion_plot(confusion: Sequence[Sequence[int]], labels: Sequence[str], *, name: str) -> str:
    """Return the confusion matrix [C, C] as a picture: rows the truth, columns the answer, counts in the cells.

    labels: class names [C], 2 to 27 and more. A cell's strength is its share of the row; an empty cell holds no frame.
    name is the prefix of ids in the SVG.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    size = len(counts)
    side, font = (64, 13) if size <= 6 else (44, 11) if size <= 14 else (26, 8.5)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with drawing(name) as figure:
        figure.set_size_inches(size * side / _POINTS_PER_INCH, size * side / _POINTS_PER_INCH)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = float(shares[row, column])
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=CELL, alpha=round(share, 3), linewidth=0))
            ink = CELL_INK if share >= _DARK_CELL else INK
            text = str(counts[row, column])
            axes.text(column + 0.5, row + 0.52, text, ha="center", va="center", fontsize=font, color=ink)
        axes.hlines(range(size + 1), 0, size, color=LINE, linewidth=1)
        axes.vlines(range(size + 1), 0, size, color=LINE, linewidth=1)
        _label_classes(axes, labels, counts.sum(axis=1).tolist())
        return svg_from_figure(figure, name=name, label="Confusion matrix, rows truth, columns answer")


def _label_classes(axes: Axes, labels: Sequence[str], support: Sequence[int]) -> None:
    answers = [wrapped_label(label, 30) for label in labels]
    truths = [
        wrapped_label(f"{label}\u00a0({text_from_count(frames)})", 34)
        for label, frames in zip(labels, support, strict=True)
    ]
    centres = np.arange(len(answers)) + 0.5
    axes.xaxis.tick_top()
    if len(answers) <= _SLANTED_CLASSES:
        axes.set_xticks(centres, answers, rotation=50, ha="left", rotation_mode="anchor")
    else:
        axes.set_xticks(centres, answers, rotation=90)
    axes.set_yticks(centres, truths)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_linespacing(1.15)
    axes.tick_params(length=0, pad=5, labelcolor=INK, labelsize=10)
    axes.set_ylabel("truth (frames)", labelpad=10)
    axes.set_xlabel("answer", labelpad=10)
    for spine in axes.spines.values():
        spine.set_visible(False)


def wrapped_label(label: str, width: int) -> str:
    """Return a class name broken at spaces into lines of about width characters; a space for an empty name."""
    return "\n".join(textwrap.wrap(label, width, break_long_words=False, break_on_hyphens=False)) or " "
