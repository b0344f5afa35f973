"""Contact sheets."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFont

from gi_edge.data.overlap import PlacedPair
from gi_edge.report.sheets import (
    EMPTY,
    FONT_PX,
    GAP_PX,
    GROUND,
    LINE_PX,
    data_uri_from_image,
    fitted_text,
    sheet_from_images,
    sheet_from_pairs,
)

RED, BLUE = (200, 20, 20), (20, 20, 200)


def picture(colour=RED, size=(40, 40)):
    return Image.new("RGB", size, colour)


def at(sheet, x, y):
    return sheet.getpixel((x, y))


@pytest.mark.parametrize(
    ("count", "columns", "caption", "tiles_wide", "rows", "lines"),
    [
        (1, 3, "a", 1, 1, 1),
        (3, 3, "a", 3, 1, 1),
        (4, 3, "a", 3, 2, 1),
        (2, 1, "a\nb", 1, 2, 2),
        (1, 1, "", 1, 1, 0),
    ],
)
def test_size_of_a_sheet(count, columns, caption, tiles_wide, rows, lines):
    sheet = sheet_from_images([(picture(), caption)] * count, columns, 100)
    assert sheet.mode == "RGB"
    assert sheet.size == (tiles_wide * (100 + GAP_PX) + GAP_PX, rows * (100 + lines * LINE_PX + GAP_PX) + GAP_PX)


def test_images_stand_in_order_row_by_row_and_keep_their_proportions(tmp_path):
    picture(BLUE, (80, 40)).save(tmp_path / "wide.png")
    images = [(picture(), ""), (tmp_path / "wide.png", ""), (picture(BLUE, (20, 20)), "")]
    sheet = sheet_from_images(images, 2, 100)
    ground = ImageColor.getrgb(GROUND)
    assert at(sheet, GAP_PX, GAP_PX) == at(sheet, GAP_PX + 99, GAP_PX + 99) == RED
    left = 2 * GAP_PX + 100
    assert [at(sheet, left + 50, GAP_PX + y) for y in (20, 50, 80)] == [ground, BLUE, ground]
    assert at(sheet, GAP_PX + 50, 2 * GAP_PX + 150) == BLUE
    assert at(sheet, left + 50, 2 * GAP_PX + 150) == ground


def test_a_row_of_flat_images_takes_no_more_height_than_they_need():
    assert sheet_from_images([(picture(size=(80, 20)), "a")], 1, 100).height == 25 + LINE_PX + 2 * GAP_PX


def test_a_caption_stands_under_its_image():
    plain, named = (np.asarray(sheet_from_images([(picture(), text)], 1, 100)) for text in (" ", "caption"))
    rows = np.flatnonzero((plain != named).any(axis=(1, 2)))
    assert rows.min() >= GAP_PX + 100
    assert rows.max() < GAP_PX + 100 + LINE_PX


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_image_that_cannot_be_read_leaves_a_grey_tile(tmp_path, content):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    sheet = sheet_from_images([(path, "x")], 1, 100)
    assert at(sheet, GAP_PX + 50, GAP_PX + 5) == ImageColor.getrgb(EMPTY)


@pytest.mark.parametrize(("count", "columns", "tile_px"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_no_sheet_of_nothing(count, columns, tile_px):
    with pytest.raises(ValueError, match="make no sheet"):
        sheet_from_images([(picture(), "")] * count, columns, tile_px)


def test_a_long_caption_keeps_its_ends():
    font = ImageFont.load_default(FONT_PX)
    text = "train: Normal clean mucosa/0123456789abcdef_12345.jpg"
    shown = fitted_text(text, 200, font)
    head, _, tail = shown.partition("...")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert abs(len(head) - len(tail)) <= 1
    assert font.getlength(shown) <= 200 < font.getlength(text)
    assert fitted_text("short", 200, font) == "short"
    assert fitted_text("short", 1, font) == ""


def test_the_frames_of_a_pair_stand_side_by_side(tmp_path):
    picture(RED).save(tmp_path / "a.png")
    picture(BLUE, (40, 20)).save(tmp_path / "b.png")
    pairs = [
        PlacedPair(first="a", first_part="train", second="b", second_part="test", distance=2.0),
        PlacedPair(first="b", first_part="train", second="gone", second_part="test", distance=3.5),
    ]
    paths = {"a": tmp_path / "a.png", "b": tmp_path / "b.png"}
    sheet = sheet_from_pairs(pairs, paths, columns=2, tile_px=202)
    assert sheet.size == (2 * (202 + GAP_PX) + GAP_PX, 100 + 3 * LINE_PX + 2 * GAP_PX)
    assert at(sheet, GAP_PX + 50, GAP_PX + 50) == RED
    assert at(sheet, GAP_PX + 150, GAP_PX + 50) == BLUE
    second = 2 * GAP_PX + 202
    assert at(sheet, second + 50, GAP_PX + 50) == BLUE
    assert at(sheet, second + 150, GAP_PX + 5) == ImageColor.getrgb(EMPTY)


def test_a_data_uri_is_a_jpeg_of_the_same_size():
    image = picture(RED, (30, 20))
    kind, _, data = data_uri_from_image(image).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as back:
        assert (back.format, back.size) == ("JPEG", (30, 20))
        assert np.abs(np.asarray(back).astype(int) - RED).max() <= 4
    assert data_uri_from_image(image.copy()) == f"{kind},{data}"
