"""From files to pixels: every odd file has an outcome, and geometry is what the spec says."""

from __future__ import annotations

import io
import os
import socket
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gi_edge.data.preprocess import PreprocessSpec, UnreadableImageError, image_warnings, pixels_from_image, read_image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (40, 30), (200, 40, 30))
JPEG = encoded(RED, "JPEG", quality=95)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (JPEG[: len(JPEG) // 2], "(?i)truncated|broken|not an image"),
        (encoded(RED, "PNG")[:60], "(?i)truncated|broken|not an image|PNG"),
    ],
)
def test_unreadable_files_say_why(tmp_path, content, match):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=match):
        read_image(tmp_path / "x.jpg")


def test_an_absent_file_says_so(tmp_path):
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_plain_file_is_not_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # for a socket's path must be short
    path = Path("x.jpg")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(UnreadableImageError, match=r"^not a plain file$"):
        read_image(path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "x.jpg").write_bytes(JPEG)
    with pytest.raises(UnreadableImageError, match="bomb"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    source = Image.new("I;16", (40, 30), 128 * 257) if mode == "I;16" else RED.convert(mode)
    source.save(tmp_path / "x.tif")
    image = read_image(tmp_path / "x.tif")
    assert (image.mode, image.size) == ("RGB", (40, 30))
    if mode == "I;16":
        assert image.getpixel((5, 5)) == (128, 128, 128)


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (40, 30))
    image.paste((255, 255, 255), (0, 0, 40, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to view
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "x.jpg")
    assert upright.size == (30, 40)
    assert upright.getpixel((28, 20))[0] > 200
    assert upright.getpixel((2, 20))[0] < 50


def test_pad_keeps_the_whole_frame_between_black_bars():
    pixels = pixels_from_image(RED, PreprocessSpec(size_px=64))
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)
    assert (pixels[:8] == 0).all()
    assert (pixels[-8:] == 0).all()
    assert (pixels[8:-8] == np.array([200, 40, 30])).all()


def test_stretch_and_crop_fill_the_square():
    for fit in ("stretch", "crop"):
        pixels = pixels_from_image(RED, PreprocessSpec(size_px=64, fit=fit))
        assert (pixels == np.array([200, 40, 30])).all()


def test_crop_loses_the_edges_of_a_wide_frame():
    image = Image.new("RGB", (100, 50))
    image.paste((255, 255, 255), (0, 0, 20, 50))
    assert pixels_from_image(image, PreprocessSpec(size_px=32, fit="crop")).max() == 0
    assert pixels_from_image(image, PreprocessSpec(size_px=32, fit="pad")).max() == 255


@pytest.mark.parametrize("size", [0, 33, -32])
def test_sizes_that_convnext_cannot_divide_are_refused(size):
    with pytest.raises(ValueError, match="size_px"):
        PreprocessSpec(size_px=size)


def test_filters_may_be_shared_from_within_their_own_setting_up(monkeypatch):
    """As when the garbage collector ends a reader there: a plain lock would wait for itself."""
    before, simplefilter = list(warnings.filters), warnings.simplefilter

    def collecting(*words):
        monkeypatch.undo()
        with image_warnings():
            pass
        simplefilter(*words)

    monkeypatch.setattr(warnings, "simplefilter", collecting)
    with image_warnings():
        assert warnings.filters != before
    assert warnings.filters == before


def test_filters_hold_for_all_that_share_them_and_are_taken_down_with_the_last():
    """Threads end in any order; catch_warnings by itself would put the first one's filters back for good."""
    before = list(warnings.filters)
    first, second = image_warnings(), image_warnings()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(Image.DecompressionBombWarning):
        warnings.warn("large", Image.DecompressionBombWarning, stacklevel=1)
    assert warnings.filters != before
    second.__exit__(None, None, None)
    assert warnings.filters == before
