"""Decoding many frames: order is kept, bad files are named and left out."""

from __future__ import annotations

import hashlib

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


@pytest.mark.parametrize("most_bytes", [1 << 28, 0])
@pytest.mark.parametrize("is_cached", [False, True])
def test_every_frame_has_the_sha256_of_its_file(frames, tmp_path, monkeypatch, is_cached, most_bytes):
    """With and without the cache, new or known there, and where the file is too large to be read whole."""
    monkeypatch.setattr("gi_edge.data.pixels._MOST_FILE_BYTES", most_bytes)
    (frames / "blue lesion" / "000.jpg").write_bytes(b"no image")
    index = index_from_folder("d", frames, read_spec("folders"))
    for _ in range(2):
        decoded = decode_frames(index.frames, SPEC, Silent(), "decode", tmp_path / "cache" if is_cached else None)
        expected = [hashlib.sha256(frame.path.read_bytes()).hexdigest() for frame in index.frames[1:]]
        assert decoded.sha256 == tuple(expected)


def test_nothing_readable_is_an_error(frames):
    for path in frames.rglob("*.jpg"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="none of 36 images could be read"):
        decode_frames(index_from_folder("d", frames, read_spec("folders")).frames, SPEC, Silent(), "decode")
