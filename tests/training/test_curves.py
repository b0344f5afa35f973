"""The picture of a run."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge_training.curves import curves_from_history

HISTORY = [
    EpochRecord(epoch=epoch, loss=1 / epoch, val_macro_f1=score, val_loss=1.1 / epoch, learning_rate=1e-3)
    for epoch, score in ((1, 0.2), (2, 0.8), (3, 0.5))
]


def texts(svg):
    return {
        "".join(item.itertext()).strip() for item in ElementTree.fromstring(svg).iter() if item.tag.endswith("text")
    }


def test_axes_and_lines_are_named_and_the_best_epoch_is_marked():
    found = texts(curves_from_history(HISTORY, 2))
    for words in ("epoch", "mean per frame", "validation macro-F1", "best epoch, 2", "validation, log loss"):
        assert words in found, words


def test_equal_histories_give_equal_bytes_whatever_the_users_settings():
    first = curves_from_history(HISTORY, 2)
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 20, "svg.hashsalt": "other"}):
        assert curves_from_history(HISTORY, 2) == first
    assert curves_from_history(HISTORY[:2], 2) != first
    assert "#ffffff" in first


@pytest.mark.parametrize("epochs", [1, 200])
def test_one_epoch_and_many_can_be_drawn(epochs):
    history = [EpochRecord(epoch=epoch, loss=0.5, val_macro_f1=0.5) for epoch in range(1, epochs + 1)]
    svg = curves_from_history(history, 1)
    assert "best epoch, 1" in texts(svg)
    assert "validation, log loss" not in texts(svg)
