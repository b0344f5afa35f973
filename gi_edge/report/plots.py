"""The confusion matrix as SVG text. Needs matplotlib (the report extra); never touches pyplot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gi_edge.report.formats import text_from_count
from gi_edge.report.svg import CELL, CELL_INK, INK, LINE, drawing, svg_from_figure

_POINTS_PER_INCH = 72
_DARK_CELL = 0.7
"""From this share of a row on, a cell has light ink."""
_PALEST_DARK, _DARKEST_PALE = 0.8, 0.6
"""Strengths that cells keep apart, so that either ink has a contrast of 4.5 on its cells, light and dark."""
_SLANTED_CLASSES = 14


def confusion_plot(confusion: Sequence[Sequence[int]], labels: Sequence[str], *, name: str) -> str:
    """Return the confusion matrix [C, C] as a picture: rows the truth, columns the answer, counts in the cells.

    labels: class names [C], 2 to 27 and more. The larger its share of the row, the stronger a cell; an empty cell
    holds no frame. name is the prefix of ids in the SVG.
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
            axes.add_patch(
                Rectangle((float(column), float(row)), 1, 1, facecolor=CELL, alpha=cell_strength(share), linewidth=0)
            )
            ink = CELL_INK if share >= _DARK_CELL else INK
            text = str(counts[row, column])
            axes.text(column + 0.5, row + 0.52, text, ha="center", va="center", fontsize=font, color=ink)
        axes.hlines(range(size + 1), 0, size, color=LINE, linewidth=1)
        axes.vlines(range(size + 1), 0, size, color=LINE, linewidth=1)
        _label_classes(axes, labels, counts.sum(axis=1).tolist())
        return svg_from_figure(figure, name=name, label="Confusion matrix, rows truth, columns answer")


def cell_strength(share: float) -> float:
    """Return the opacity of a cell with this share of its row: it grows with the share, and leaps where inks change."""
    if share < _DARK_CELL:
        return round(share * _DARKEST_PALE / _DARK_CELL, 3)
    return round(_PALEST_DARK + (1 - _PALEST_DARK) * (share - _DARK_CELL) / (1 - _DARK_CELL), 3)


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
