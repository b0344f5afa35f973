"""The mistakes as a contact sheet."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import LONG, NAMES, answers, predictions
from PIL import Image, ImageFont

from gi_edge.report.mistakes import mistake_caption, mistakes_sheet
from gi_edge.report.sheets import FONT_PX, GAP_PX, LINE_PX

TILE_PX = 240
COLOURS = [(200, 20, 20), (20, 200, 20), (20, 20, 200), (200, 200, 20)]


def written(root, truth, probabilities):
    found = predictions(np.array(truth), np.array(probabilities, dtype=np.float32), root)
    for frame, colour in zip(found.frames, COLOURS, strict=False):
        Image.new("RGB", (40, 40), colour).save(frame.path)
    return found


def shown(sheet, tiles):
    """The colour at the centre of each of the first tiles of the top row."""
    return [
        sheet.getpixel((GAP_PX + i * (TILE_PX + GAP_PX) + TILE_PX // 2, GAP_PX + TILE_PX // 2)) for i in range(tiles)
    ]


def test_only_wrong_frames_are_shown_the_most_confident_first(tmp_path):
    found = written(tmp_path, [0, 1, 0, 1], [[0.4, 0.6], [0.1, 0.9], [0.1, 0.9], [0.75, 0.25]])
    sheet = mistakes_sheet(found, ("a", "b"))
    assert sheet is not None
    assert sheet.width == 3 * (TILE_PX + GAP_PX) + GAP_PX
    assert shown(sheet, 3) == [COLOURS[2], COLOURS[3], COLOURS[0]]


def test_equally_confident_frames_stand_in_the_order_of_their_names(tmp_path):
    found = written(tmp_path, [1, 0, 0], [[0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    assert shown(mistakes_sheet(found, ("a", "b")), 3) == [COLOURS[1], COLOURS[2], COLOURS[0]]


@pytest.mark.parametrize(("limit", "rows"), [(1, 1), (4, 1), (5, 2), (24, 6)])
def test_no_more_than_the_limit(tmp_path, limit, rows):
    truth, probabilities = answers(2, 0, skill=-9.0, counts=(20, 20))
    sheet = mistakes_sheet(predictions(truth, probabilities, tmp_path), ("a", "b"), limit)
    assert sheet.height == rows * (TILE_PX + 2 * LINE_PX + GAP_PX) + GAP_PX
    assert sheet.width == min(limit, 4) * (TILE_PX + GAP_PX) + GAP_PX


def test_no_mistake_no_sheet(tmp_path):
    assert mistakes_sheet(predictions(*answers(3, 50, skill=60.0), tmp_path), NAMES) is None


@pytest.mark.parametrize(
    ("truth", "answer", "confidence", "caption"),
    [
        ("polyp", "normal", 0.5, "polyp -> normal (0.500)\npolyp/7.png"),
        ("polyp", "normal", 0.99999, "polyp -> normal (0.999)\npolyp/7.png"),
        ("polyp", "normal", 1.0, "polyp -> normal (1.000)\npolyp/7.png"),
        ("Ulcer <3 mm & flat", "[b]x[/b]", 0.25, "Ulcer <3 mm & flat -> [b]x[/b] (0.250)\npolyp/7.png"),
    ],
)
def test_captions(truth, answer, confidence, caption):
    assert mistake_caption(truth, answer, confidence, "polyp/7.png") == caption


def test_long_names_lose_their_middle_but_neither_arrow_nor_probability():
    first, second, last = mistake_caption(LONG[3], LONG[11], 0.875, "a/b.png").split("\n")
    font = ImageFont.load_default(FONT_PX)
    assert (first[:9], second[:12], last) == ("03 Normal", "-> 11 Normal", "a/b.png")
    assert "..." in second
    assert second.endswith(" (0.875)")
    assert max(font.getlength(first), font.getlength(second)) <= TILE_PX
