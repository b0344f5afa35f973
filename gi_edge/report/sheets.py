"""Contact sheets: many small pictures with captions on one, to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from gi_edge.data.overlap import PlacedPair
from gi_edge.data.preprocess import UnreadableImageError, read_image

GROUND, EMPTY, INK = "#232321", "#3b3a36", "#eeede8"
GAP_PX = 16
FONT_PX = 13
LINE_PX = 18

_JPEG_QUALITY = 82
_PAIR_GAP_PX = 2


def sheet_from_images(images: Sequence[tuple[Path | Image.Image, str]], columns: int, tile_px: int) -> Image.Image:
    """Return an RGB sheet of images with captions, row by row, each fitted into a square of tile_px.

    A caption may have several lines; one that is too wide loses its middle. An image that cannot be read leaves a
    grey tile that says why.

    Raises: ValueError if there is no image, or columns or tile_px is not positive.
    """
    if not images or columns < 1 or tile_px < 1:
        raise ValueError(f"{len(images)} images in {columns} columns of {tile_px} px make no sheet")
    tiles = [(_tile(image, (tile_px, tile_px)), caption.splitlines()) for image, caption in images]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile, _ in row) for row in rows]
    bands = [max(len(lines) for _, lines in row) * LINE_PX for row in rows]
    width = min(columns, len(tiles)) * (tile_px + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (width, sum(heights) + sum(bands) + GAP_PX * (len(rows) + 1)), GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    top = GAP_PX
    for row, height, band in zip(rows, heights, bands, strict=True):
        for column, (tile, lines) in enumerate(row):
            left = GAP_PX + column * (tile_px + GAP_PX)
            sheet.paste(tile, (left + (tile_px - tile.width) // 2, top + (height - tile.height) // 2))
            for number, line in enumerate(lines):
                place = (left, top + height + number * LINE_PX + 2)
                draw.text(place, fitted_text(line, tile_px, font), fill=INK, font=font)
        top += height + band + GAP_PX
    return sheet


def sheet_from_pairs(
    pairs: Sequence[PlacedPair], paths: Mapping[str, Path], *, columns: int, tile_px: int
) -> Image.Image:
    """Return a sheet of near-duplicate pairs, the two frames of a pair side by side and named in that order.

    paths: image file by frame id. A tile of tile_px width holds one pair.

    Raises: ValueError if there is no pair, or columns or tile_px is not positive.
    """
    return sheet_from_images([_pair(pair, paths, tile_px) for pair in pairs], columns, tile_px)


def data_uri_from_image(image: Image.Image) -> str:
    """Return an image as a JPEG data URI; equal pixels give equal text."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def fitted_text(text: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, its middle replaced by three dots if it is wider than width_px."""
    for kept in range(len(text), -1, -1):
        shown = text if kept == len(text) else f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if font.getlength(shown) <= width_px:
            return shown
    return ""


def _tile(image: Path | Image.Image, size: tuple[int, int]) -> Image.Image:
    try:
        picture = read_image(image) if isinstance(image, Path) else image.convert("RGB")
    except UnreadableImageError as error:
        return _empty_tile(str(error), size)
    return ImageOps.contain(picture, size, Image.Resampling.LANCZOS)


def _empty_tile(reason: str, size: tuple[int, int]) -> Image.Image:
    tile, font = Image.new("RGB", size, EMPTY), ImageFont.load_default(FONT_PX)
    words = fitted_text(f"not shown: {reason}", size[0] - FONT_PX, font)
    ImageDraw.Draw(tile).text((size[0] // 2, size[1] // 2), words, fill=INK, font=font, anchor="mm")
    return tile


def _pair(pair: PlacedPair, paths: Mapping[str, Path], width: int) -> tuple[Image.Image, str]:
    side = max(1, (width - _PAIR_GAP_PX) // 2)
    both = Image.new("RGB", (2 * side + _PAIR_GAP_PX, side), GROUND)
    for number, frame in enumerate((pair.first, pair.second)):
        size = (side, side)
        tile = _tile(paths[frame], size) if frame in paths else _empty_tile("no file", size)
        corner = ((side - tile.width) // 2 + number * (side + _PAIR_GAP_PX), (side - tile.height) // 2)
        both.paste(tile, corner)
    caption = f"{pair.first_part}: {pair.first}\n{pair.second_part}: {pair.second}\ndistance {pair.distance:g}"
    return both, caption
