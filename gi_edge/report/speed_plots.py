"""Figures of what was timed, as SVG text. Needs matplotlib (the report extra); never touches pyplot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from gi_edge.artifacts.results import ModelRun
from gi_edge.artifacts.speed import Region, SpeedRun
from gi_edge.report.formats import text_from_count, text_from_quantity
from gi_edge.report.speed_rows import REGION_NAMES, throughput_runs
from gi_edge.report.standing import labels_from_models
from gi_edge.report.svg import LINE, MUTED, SERIES, drawing, svg_from_figure

WIDE_RATIO = 8.0
"""From this ratio of the slowest to the fastest sample on, the time axis is logarithmic."""

_POINTS_PER_INCH = 72
_WIDTH_PX = 300
"""So wide that a phone need not shrink the text."""
_MARKS = (("p50", "-"), ("p90", "--"), ("p99", ":"))
_MARKERS = "osD^vPX*"
_SHORT_LABEL = 10


def latency_plot(models: Sequence[ModelRun], region: Region, *, name: str) -> str:
    """Return the distribution of latency, one frame after another, one row per model, in milliseconds.

    p50 is a solid line, p90 dashed, p99 dotted; one without enough samples is absent. name is the prefix of
    ids in the SVG.

    Raises: ValueError if no model was timed so in this region.
    """
    timed = [
        (number, label, run)
        for number, (label, model) in enumerate(zip(labels_from_models(tuple(models)), models, strict=True))
        for run in model.speeds
        if run.scenario == "single-stream" and run.region == region
    ]
    if not timed:
        raise ValueError(f"no model was timed frame after frame, {REGION_NAMES[region]}")
    low = min(min(run.samples_ms) for _, _, run in timed)
    high = max(max(run.samples_ms) for _, _, run in timed)
    is_wide = high > WIDE_RATIO * low > 0
    with drawing(name) as figure:
        figure.set_size_inches(_WIDTH_PX / _POINTS_PER_INCH, 96 * len(timed) / _POINTS_PER_INCH)
        grid = figure.subplots(len(timed), 1, sharex=True, squeeze=False)
        for axes, (number, label, run) in zip(grid[:, 0], timed, strict=True):
            _draw_latency(axes, run, label, SERIES[number % len(SERIES)], is_wide=is_wide)
        last: Axes = grid[-1, 0]
        margin = (high - low) * 0.04 or high * 0.05 or 1.0
        last.set_xlim((low / 1.1, high * 1.1) if is_wide else (max(low - margin, 0.0), high + margin))
        last.set_xlabel(f"milliseconds per frame, {REGION_NAMES[region]}{', logarithmic' if is_wide else ''}")
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, hspace=0.62)
        return svg_from_figure(figure, name=name, label=f"Distribution of latency per model, {REGION_NAMES[region]}")


def _draw_latency(axes: Axes, run: SpeedRun, label: str, colour: str, *, is_wide: bool) -> None:
    samples = np.asarray(run.samples_ms, dtype=np.float64)
    counts, edges = np.histogram(samples, bins=_bin_edges(samples, is_wide=is_wide))
    axes.stairs(counts / counts.max(), edges, fill=True, facecolor=colour, edgecolor="none", alpha=0.45)
    for percentile, line in _MARKS:
        value = getattr(run.summary, f"{percentile}_ms")
        if value is not None:
            axes.plot([value, value], [0, 1.08], line, color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if is_wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, 1.12)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", length=3)
    axes.text(0, 1.27, label, transform=axes.transAxes, fontsize=12, fontweight="bold")
    axes.text(0, 1.09, _latency_words(run), transform=axes.transAxes, fontsize=11, color=MUTED)


def _bin_edges(samples: NDArray[np.float64], *, is_wide: bool) -> NDArray[np.float64]:
    low, high = float(samples.min()), float(samples.max())
    if high <= low:
        half = low * 0.005 or 0.5
        return np.array([low - half, high + half])
    return np.geomspace(low, high, 49) if is_wide else np.linspace(low, high, 49)


def _latency_words(run: SpeedRun) -> str:
    values = " · ".join(
        f"{percentile} {text_from_quantity(getattr(run.summary, f'{percentile}_ms'))}" for percentile, _ in _MARKS
    )
    return f"{values} ms · {text_from_count(run.summary.count)} samples"


def throughput_plot(models: Sequence[ModelRun], *, name: str) -> str:
    """Return images per second against batch size, one line per model. name is the prefix of ids in the SVG.

    Raises: ValueError if no model was timed in batches or frame after frame.
    """
    lines = throughputs(models)
    if not lines:
        raise ValueError("no model was timed")
    sizes = sorted({size for points in lines.values() for size, _ in points})
    with drawing(name) as figure:
        axes = _line_axes(figure, lines)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.set_xlabel("batch size, frames")
        axes.set_ylabel("images per second")
        return svg_from_figure(figure, name=name, label="Images per second against batch size")


def throughputs(models: Sequence[ModelRun]) -> dict[str, list[tuple[float, float]]]:
    """Return points of batch size and images per second by model, and by timed region where there are several."""
    return _lines_by_region(
        (label, run.region, (run.batch_size, run.images_per_second))
        for label, model in _labelled(models)
        for run in throughput_runs(model)
    )


def deadline_plot(models: Sequence[ModelRun], *, name: str) -> str:
    """Return the percentage of missed frames against their rate, one line per model. name prefixes ids in the SVG.

    Raises: ValueError if no model was timed with frames at a fixed rate.
    """
    lines = missed_shares(models)
    if not lines:
        raise ValueError("no model was timed with frames at a fixed rate")
    rates = sorted({rate for points in lines.values() for rate, _ in points})
    with drawing(name) as figure:
        axes = _line_axes(figure, lines)
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.set_ylim(-2, 104)
        axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("frames that arrive per second")
        axes.set_ylabel("missed frames")
        return svg_from_figure(figure, name=name, label="Share of missed frames against their rate")


def missed_shares(models: Sequence[ModelRun]) -> dict[str, list[tuple[float, float]]]:
    """Return points of frame rate and percentage of missed frames by model, and by timed region if several."""
    return _lines_by_region(
        (label, run.region, (late.frame_rate, 100 * late.missed / late.frames))
        for label, model in _labelled(models)
        for run in model.speeds
        if (late := run.deadlines) is not None and late.frames
    )


def _lines_by_region(points: Iterable[tuple[str, Region, tuple[float, float]]]) -> dict[str, list[tuple[float, float]]]:
    """Collect points of model and region into a line each; the region is named only where there are several."""
    found = list(points)
    regions = {region for _, region, _ in found}
    lines: dict[str, list[tuple[float, float]]] = {}
    for label, region, point in found:
        line = label if len(regions) == 1 else f"{label}, {REGION_NAMES[region]}"
        lines.setdefault(line, []).append(point)
    return lines


def _line_axes(figure: Figure, lines: dict[str, list[tuple[float, float]]]) -> Axes:
    """Draw lines with markers and a legend above, the y axis from 0."""
    figure.set_size_inches((_WIDTH_PX - 48) / _POINTS_PER_INCH, 210 / _POINTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (label, points) in enumerate(lines.items()):
        axes.plot(
            *zip(*sorted(points), strict=True),
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=7,
            linewidth=2,
            color=SERIES[number % len(SERIES)],
            label=label,
        )
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(0, 1.08 * max(value for points in lines.values() for _, value in points) or 1.0)
    axes.grid(axis="y", color=LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    is_short = max(map(len, lines)) <= _SHORT_LABEL
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=min(4, len(lines)) if is_short else 1,
        handlelength=1.4,
        columnspacing=1.0,
        handletextpad=0.5,
        borderaxespad=0.2,
    )
    return axes


def _labelled(models: Sequence[ModelRun]) -> list[tuple[str, ModelRun]]:
    return list(zip(labels_from_models(tuple(models)), models, strict=True))
