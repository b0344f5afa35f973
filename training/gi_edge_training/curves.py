"""The learning curves of a run as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gi_edge.artifacts.adapter import EpochRecord

CURVES_FILE = "learning_curves.svg"

_TRAIN, _VAL, _MUTED, _LINE = "#2a78d6", "#eb6834", "#6a6b69", "#dddcd5"
_STYLE = {
    "axes.edgecolor": _LINE,
    "axes.grid": True,
    "axes.labelcolor": _MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.facecolor": "#ffffff",
    "svg.fonttype": "none",
    "svg.hashsalt": "learning-curves",
    "text.parse_math": False,
    "xtick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.color": _LINE,
    "ytick.labelcolor": _MUTED,
}


def curves_from_history(history: Sequence[EpochRecord], best_epoch: int) -> str:
    """Return an SVG of loss and validation macro-F1 by epoch, the best epoch marked; equal histories, equal bytes."""
    buffer = io.StringIO()
    with matplotlib.style.context(["default", _STYLE], after_reset=True):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        losses, scores = figure.subplots(1, 2)
        _draw(losses, [(record.epoch, record.loss) for record in history], "training, as minimised", _TRAIN)
        validated = [(record.epoch, record.val_loss) for record in history if record.val_loss is not None]
        if validated:
            _draw(losses, validated, "validation, log loss", _VAL)
        losses.set(title="Loss", xlabel="epoch", ylabel="mean per frame", ylim=(0, None))
        _draw(scores, [(record.epoch, record.val_macro_f1) for record in history], "validation", _VAL)
        best = next(record for record in history if record.epoch == best_epoch)
        scores.plot(best_epoch, best.val_macro_f1, "o", ms=9, mfc="none", mec="#111213", clip_on=False)
        scores.set(title="Macro-F1", xlabel="epoch", ylabel="validation macro-F1", ylim=(0, 1))
        for axes in (losses, scores):
            axes.axvline(
                best_epoch, color="#111213", lw=0.9, ls=(0, (3, 3)), zorder=1, label=f"best epoch, {best_epoch}"
            )
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlim(0.5, history[-1].epoch + 0.5)
            axes.legend(loc="best", fontsize=9)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": "Learning curves"})
    return buffer.getvalue()


def _draw(axes: Axes, points: Sequence[tuple[int, float]], label: str, colour: str) -> None:
    epochs, values = zip(*points, strict=True)
    axes.plot(epochs, values, "-o", color=colour, lw=1.8, ms=3.5, label=label)
