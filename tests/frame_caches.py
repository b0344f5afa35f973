"""What the tests of the frame cache share: decoding with and without it, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gi_edge.data.frame_cache import stored_frames
from gi_edge.data.index import index_from_folder
from gi_edge.data.pixels import decode_frames
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.spec import read_spec
from gi_edge.progress import Silent

SPEC = PreprocessSpec(size_px=32)
FRAME_BYTES = 32 * 32 * 3


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def index_of(frames):
    return index_from_folder("d", frames, read_spec("folders")).frames


def decode(frames, cache=None, spec=SPEC):
    heard = Heard()
    return decode_frames(index_of(frames) if isinstance(frames, Path) else frames, spec, heard, "decode", cache), heard


def assert_same(frames, cache):
    """Frames, pixels and reasons are those of a decoding without a cache."""
    plain, plain_heard = decode(frames)
    cached, heard = decode(frames, cache)
    assert cached.frames == plain.frames
    assert cached.unreadable == plain.unreadable
    assert np.array_equal(cached.pixels, plain.pixels)
    assert set(plain_heard.lines) <= set(heard.lines)
    return cached, heard


def store_folder(cache):
    (store,) = stored_frames(cache)
    return store.folder


def pixels_file(cache):
    return store_folder(cache) / "pixels"
