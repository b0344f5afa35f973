"""Figures of an evaluation as SVG text. Needs matplotlib (the report extra); never touches pyplot."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gi_edge.metrics.calibration import ReliabilityBin
from gi_edge.metrics.evaluation import Evaluation, Score
from gi_edge.report.evaluation_cells import frames_words, groups_heading, level_words, score_cell
from gi_edge.report.formats import text_from_count, text_from_score
from gi_edge.report.notes import FEW_FRAMES
from gi_edge.report.plots import wrapped_label
from gi_edge.report.svg import INK, LINE, MUTED, SERIES, drawing, svg_from_figure

_POINTS_PER_INCH = 72
_PALE = 0.35
_LABEL_WIDTH = 42
_ROW_PX, _LINE_PX = 11, 14
_PANELS = (("sensitivity", "Sensitivity", SERIES[0]), ("specificity", "Specificity", SERIES[1]))
_TICKS = ([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def reliability_plot(evaluation: Evaluation, *, name: str) -> str:
    """Return the share of right answers against the top-1 confidence, and below it the frames in each bin.

    A bin of under FEW_FRAMES frames is hollow. name is the prefix of ids in the SVG.
    """
    with drawing(name) as figure:
        figure.set_size_inches(380 / _POINTS_PER_INCH, 480 / _POINTS_PER_INCH)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.6, 1))
        filled = [item for item in evaluation.reliability if item.count]
        _draw_reliability(upper, filled)
        for number, words in enumerate(reversed(calibration_words(evaluation))):
            upper.text(0, 1.04 + 0.055 * number, words, transform=upper.transAxes, fontsize=11, color=MUTED)
        edges = [item.low for item in evaluation.reliability] + [1.0]
        counts = [item.count for item in evaluation.reliability]
        lower.stairs(counts, edges, fill=True, facecolor=SERIES[0], edgecolor="none", alpha=0.45)
        lower.set_ylabel("frames")
        lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_from_count(round(value))))
        lower.set_xlabel("confidence: probability of the answer")
        lower.set_xlim(0, 1)
        lower.set_xticks(*_TICKS)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, hspace=0.12)
        label = f"Reliability diagram. {'. '.join(calibration_words(evaluation))}"
        return svg_from_figure(figure, name=name, label=label)


def calibration_words(evaluation: Evaluation) -> tuple[str, str]:
    """Return the expected calibration error with its interval, and on which side the confidence errs."""
    accuracy, confidence = (
        sum(item.count * (getattr(item, key) or 0.0) for item in evaluation.reliability) / evaluation.n
        for key in ("accuracy", "confidence")
    )
    ece = evaluation.overall.ece
    cell = score_cell("ece", ece)
    interval = cell.interval if ece.interval.undecided else f"{level_words(evaluation)} {cell.interval}"
    sure, right = text_from_score(confidence), text_from_score(accuracy)
    side = "Overconfident" if confidence > accuracy else "Underconfident"
    side = "Neither over- nor underconfident" if sure == right else side
    means = f"mean confidence {sure}, accuracy {right}"
    return f"ECE {cell.value} ({interval})", f"{side} on average: {means}"


def _draw_reliability(axes: Axes, filled: list[ReliabilityBin]) -> None:
    axes.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
    for item in filled:
        place, share = item.confidence or 0.0, item.accuracy or 0.0
        axes.plot([place, place], [place, share], color=SERIES[0], linewidth=2, alpha=0.5)
        face = SERIES[0] if item.count >= FEW_FRAMES else "none"
        axes.plot([place], [share], "o", markersize=7, markerfacecolor=face, markeredgecolor=SERIES[0], clip_on=False)
    axes.text(0.03, 0.94, "underconfident", fontsize=10, color=MUTED, va="center")
    axes.text(0.97, 0.06, "overconfident", fontsize=10, color=MUTED, va="center", ha="right")
    axes.set_ylim(0, 1.02)
    axes.set_yticks(*_TICKS)
    axes.set_ylabel("share of right answers")
    axes.grid(color=LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def class_plot(evaluation: Evaluation, *, name: str) -> str:
    """Return sensitivity and specificity of each class as bars with interval whiskers, 2 to 27 classes and more.

    A score whose interval the data cannot decide is a pale bar without whisker that says so. name is the prefix of
    ids in the SVG.
    """
    labels = [_class_label(evaluation, index) for index in range(len(evaluation.classes))]
    heights = np.array([_ROW_PX + _LINE_PX * (1 + label.count("\n")) for label in labels], dtype=np.float64)
    places = np.cumsum(heights) - heights / 2
    with drawing(name) as figure:
        figure.set_size_inches(760 / _POINTS_PER_INCH, heights.sum() / _POINTS_PER_INCH)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (key, title, colour) in zip(panels, _PANELS, strict=True):
            for place, item in zip(places, evaluation.per_class, strict=True):
                _draw_bar(axes, place, key, getattr(item, key), colour)
            axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=8)
            axes.set_xlim(0, 1)
            axes.set_xticks(*_TICKS)
            axes.set_ylim(heights.sum(), 0)
            axes.grid(axis="x", color=LINE, linewidth=1)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
        panels[0].set_yticks(places, labels)
        panels[0].tick_params(axis="y", labelcolor=INK, labelsize=10)
        panels[0].set_ylabel(f"class ({_support_words(evaluation)})", labelpad=10)
        figure.subplots_adjust(left=0, right=0.83, bottom=0, top=1, wspace=0.62)
        label = f"Sensitivity and specificity of each class with {level_words(evaluation)}, {frames_words(evaluation)}"
        return svg_from_figure(figure, name=name, label=label)


def _support_words(evaluation: Evaluation) -> str:
    return "frames" if evaluation.groups is None else f"frames / {groups_heading(evaluation).lower()}"


def _class_label(evaluation: Evaluation, index: int) -> str:
    item = evaluation.per_class[index]
    groups = "" if item.groups is None else f"\u00a0/\u00a0{text_from_count(item.groups)}"
    return wrapped_label(f"{item.label}\u00a0({text_from_count(item.support)}{groups})", _LABEL_WIDTH)


def _draw_bar(axes: Axes, place: float, key: str, score: Score, colour: str) -> None:
    cell, interval = score_cell(key, score), score.interval
    words = cell.value if interval.undecided is None else f"{cell.value}, {cell.interval}"
    words = cell.interval if score.value is None else words
    axes.text(1.03, place, words, va="center", fontsize=10, color=MUTED)
    if score.value is None:
        return
    is_decided = interval.undecided is None
    axes.barh(place, score.value, height=12, color=colour, alpha=None if is_decided else _PALE)
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [place, place], color=INK, linewidth=1.5, clip_on=False)
        for end in (interval.low, interval.high):
            axes.plot([end, end], [place - 4, place + 4], color=INK, linewidth=1.5, clip_on=False)


def standalone_svg(svg: str) -> str:
    """Return an SVG of this package as a file of its own: on white, in colours that need no page."""
    plain = re.sub(r"var\(--[\w-]+, (#[0-9a-f]{6})\)", r"\1", svg).replace("currentColor", INK)
    head, tag_end, body = plain.partition(">")
    if "xmlns=" not in head:
        head += ' xmlns="http://www.w3.org/2000/svg"'
    if "xlink:" in plain and "xmlns:xlink=" not in head:
        head += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{tag_end}\n{ground}{body}\n'
