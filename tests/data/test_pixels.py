"""Decoding many frames: order is kept, bad files are named and left out."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.data.index import index_from_folder
from gi_edge.data.pixels import decode_frames
from gi_edge.data.preprocess import PreprocessSpec, pixels_from_image, read_image
from gi_edge.data.spec import read_spec
from gi_edge.errors import DataError
from gi_edge.progress import Silent

SPEC = PreprocessSpec(size_px=32)


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_every_row_is_the_pixels_of_its_frame(frames):
    index = index_from_folder("d", frames, read_spec("folders"))
    decoded = decode_frames(index.frames, SPEC, Silent(), "decode")
    assert decoded.frames == index.frames
    for frame, row in zip(decoded.frames, decoded.pixels, strict=True):
        assert np.array_equal(row, pixels_from_image(read_image(frame.path), SPEC))


def test_bad_files_among_good_ones_are_named_and_counted(frames):
    (frames / "red lesion" / "003.jpg").write_bytes(b"")
    (frames / "blue lesion" / "000.jpg").write_bytes(b"no image")
    index = index_from_folder("d", frames, read_spec("folders"))
    heard = Heard()
    decoded = decode_frames(index.frames, SPEC, heard, "decode")
    assert len(decoded.frames) == len(decoded.pixels) == 34
    assert {item.frame.id for item in decoded.unreadable} == {"red lesion/003.jpg", "blue lesion/000.jpg"}
    assert heard.lines == [
        "skipped blue lesion/000.jpg: not an image that Pillow knows",
        "skipped red lesion/003.jpg: the file is empty",
        "skipped 2 unreadable of 36 images",
    ]
    last = decoded.frames[-1]
    assert np.array_equal(decoded.pixels[-1], pixels_from_image(read_image(last.path), SPEC))


def test_nothing_readable_is_an_error(frames):
    for path in frames.rglob("*.jpg"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="none of 36 images could be read"):
        decode_frames(index_from_folder("d", frames, read_spec("folders")).frames, SPEC, Silent(), "decode")
