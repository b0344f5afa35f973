"""The mistakes of a model as a contact sheet, the most confident first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFont

from gi_edge.artifacts.evaluation import Predictions
from gi_edge.report.audit_cells import text_from_baseline
from gi_edge.report.sheets import FONT_PX, fitted_text, sheet_from_images

_COLUMNS = 4
_TILE_PX = 240
_ARROW = "->"
"""Pillow's own font has no arrow."""


def mistakes_sheet(predictions: Predictions, classes: Sequence[str], limit: int = 24) -> Image.Image | None:
    """Return the wrong frames as a sheet, the most confident first, captioned truth -> answer (probability) and frame.

    classes: names [C] in the order of the probabilities. limit: frames at most, 1 or more. None if no answer is wrong.
    """
    answer = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = [int(i) for i in np.flatnonzero(answer != predictions.truth)]
    wrong.sort(key=lambda i: (-confidence[i], predictions.frames[i].id))
    if not wrong:
        return None
    images = [
        (
            predictions.frames[i].path,
            mistake_caption(
                classes[predictions.frames[i].label], classes[answer[i]], float(confidence[i]), predictions.frames[i].id
            ),
        )
        for i in wrong[:limit]
    ]
    return sheet_from_images(images, _COLUMNS, _TILE_PX)


def mistake_caption(truth: str, answer: str, confidence: float, frame: str) -> str:
    """Return two lines, or three where truth and answer do not fit beside each other; the arrow is never cut."""
    font, sure = ImageFont.load_default(FONT_PX), f"({text_from_baseline(confidence)})"
    line = f"{truth} {_ARROW} {answer} {sure}"
    if font.getlength(line) <= _TILE_PX:
        return f"{line}\n{frame}"
    room = _TILE_PX - int(font.getlength(f"{_ARROW}  {sure}")) - 2
    return f"{fitted_text(truth, _TILE_PX, font)}\n{_ARROW} {fitted_text(answer, room, font)} {sure}\n{frame}"
