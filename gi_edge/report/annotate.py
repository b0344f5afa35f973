"""Copies of frames with the answer written beside them, never over them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gi_edge.files import atomic_file
from gi_edge.report.sheets import GROUND, INK, fitted_text

_LEAST_BAR_PX = 22
_BAR_SHARE = 0.06
"""Of the picture's height."""
_FONT_SHARE = 0.6
"""Of the bar's height."""
_JPEG_QUALITY = 95
_JPEG_SUFFIXES = (".jpg", ".jpeg")


def annotated_image(image: Image.Image, label: str, probability: float) -> Image.Image:
    """Return an RGB copy with a bar below it that gives the label, left, and its probability, right.

    Width and height are even, as video wants them: the bar is widened or heightened by one row or column for it.
    """
    bar_px = max(_LEAST_BAR_PX, round(image.height * _BAR_SHARE))
    size = (image.width + image.width % 2, image.height + bar_px + (image.height + bar_px) % 2)
    copy = Image.new("RGB", size, GROUND)
    copy.paste(image, (0, 0))
    font = ImageFont.load_default(round(bar_px * _FONT_SHARE))
    draw, pad, middle = ImageDraw.Draw(copy), bar_px // 4, image.height + (size[1] - image.height) // 2
    number = f"{probability:.2f}"
    room = image.width - 3 * pad - font.getlength(number)
    draw.text((pad, middle), fitted_text(label, int(room), font), fill=INK, font=font, anchor="lm")
    draw.text((image.width - pad, middle), number, fill=INK, font=font, anchor="rm")
    return copy


def write_annotated(path: Path, image: Image.Image, label: str, probability: float) -> None:
    """Write the annotated copy of an image, whole or not at all: a JPEG where the path is named so, else a PNG.

    Raises: ArtifactError if it cannot be written.
    """
    copy = annotated_image(image, label, probability)
    with atomic_file(path) as partial:
        if path.suffix.lower() in _JPEG_SUFFIXES:
            copy.save(partial, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
        else:
            copy.save(partial, format="PNG")
