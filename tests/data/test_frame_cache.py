"""The frame cache: the same pixels with and without it, found by content, where and as long as the user wants."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from frame_caches import FRAME_BYTES, SPEC, assert_same, decode, index_of, pixels_file, store_folder
from PIL import Image
from support import write_frames

from gi_edge.data import frame_cache
from gi_edge.data.frame_cache import cache_folder, clear_cache, store_of, stored_frames
from gi_edge.data.frame_store import locked
from gi_edge.data.preprocess import PreprocessSpec


def test_the_second_run_decodes_nothing_and_has_the_same_pixels(frames, cache, decodings):
    first, heard = assert_same(frames, cache)
    assert heard.lines == [f"36 of 36 frames are new in the cache {cache} (gi-edge data cache shows, clears)"]
    decodings.clear()
    again, heard = decode(frames, cache)
    assert decodings == []
    assert heard.lines == []
    assert np.array_equal(again.pixels, first.pixels)
    assert pixels_file(cache).stat().st_size == 36 * FRAME_BYTES


def test_other_datasets_orders_and_parts_share_frames(frames, cache, decodings):
    decode(frames, cache)
    shutil.copytree(frames, frames.parent / "copy")
    decodings.clear()
    some = index_of(frames.parent / "copy")[::-5]
    cached, _ = decode(some, cache)
    assert decodings == []
    plain, _ = decode(some)
    assert np.array_equal(cached.pixels, plain.pixels)


def test_frames_in_the_order_of_the_cache_are_mapped_not_copied(frames, cache, monkeypatch):
    decode(frames, cache)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: pytest.fail("a copy was made"))
    assert len(decode(frames, cache)[0].pixels) == 36
    assert len(decode(index_of(frames)[7:20], cache)[0].pixels) == 13


def test_pixels_cannot_be_written_to(frames, cache):
    for decoded, _ in (decode(frames, cache), decode(frames)):
        with pytest.raises(ValueError, match="read-only"):
            decoded.pixels[0] = 0


@pytest.mark.parametrize(
    "other",
    [
        PreprocessSpec(size_px=64),
        PreprocessSpec(size_px=32, fit="stretch"),
        PreprocessSpec(size_px=32, fit="crop"),
        PreprocessSpec(size_px=32, interpolation="bilinear"),
    ],
    ids=str,
)
def test_what_decides_pixels_keeps_frames_apart(frames, cache, decodings, other):
    decode(frames, cache)
    decodings.clear()
    cached, _ = decode(frames, cache, other)
    assert len(decodings) == 36
    assert np.array_equal(cached.pixels, decode(frames, None, other)[0].pixels)


def test_what_decides_no_pixels_does_not(frames, cache, decodings):
    decode(frames, cache)
    decodings.clear()
    decode(frames, cache, PreprocessSpec(size_px=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    assert decodings == []


def test_another_pillow_decodes_anew(frames, cache, decodings, monkeypatch):
    decode(frames, cache)
    decodings.clear()
    frame_cache._decoder.cache_clear()
    monkeypatch.setattr(frame_cache.PIL, "__version__", "0.0")
    decode(frames, cache)
    shown = stored_frames(cache)
    monkeypatch.undo()
    frame_cache._decoder.cache_clear()
    assert len(shown) == 2
    assert [store.is_current for store in shown].count(True) == 1


def test_a_changed_file_of_equal_size_and_date_is_seen(frames, cache):
    decode(frames, cache)
    path = index_of(frames)[3].path
    status, content = path.stat(), path.read_bytes()
    other = index_of(frames)[30].path.read_bytes()
    path.write_bytes(other[: len(content)].ljust(len(content), b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert_same(frames, cache)


def test_bad_files_keep_their_reasons_and_are_not_cached(frames, cache, decodings):
    (frames / "red lesion" / "003.jpg").write_bytes(b"")
    (frames / "blue lesion" / "000.jpg").write_bytes(b"no image")
    whole = (frames / "green lesion" / "005.jpg").read_bytes()
    (frames / "green lesion" / "005.jpg").write_bytes(whole[: len(whole) // 2])
    gone = index_of(frames)
    (frames / "green lesion" / "006.jpg").unlink()
    for _ in range(2):
        cached, _ = assert_same(gone, cache)
        assert len(cached.unreadable) == 4
    assert stored_frames(cache)[0].frames == 32


def test_a_file_delivered_many_times_is_cached_with_its_neighbours(frames, cache, monkeypatch):
    for number in range(30):
        shutil.copy(frames / "red lesion" / "000.jpg", frames / "blue lesion" / f"copy{number:02d}.jpg")
    for number in range(2):
        shutil.copy(frames / "red lesion" / "001.jpg", frames / "green lesion" / f"copy{number:02d}.jpg")
    assert_same(frames, cache)
    assert_same(frames, cache)
    assert stored_frames(cache)[0].frames == 36 + 7 + 2
    few = [frame for frame in index_of(frames) if frame.label != 0]
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: pytest.fail("a copy was made"))
    clear_cache(cache)
    decode(few, cache)
    assert len(decode(few, cache)[0].pixels) == 26


def test_clearing_removes_stores_and_nothing_else(frames, cache):
    decode(frames, cache)
    other = cache / "frames" / "polyp" / "pixels"
    other.parent.mkdir()
    other.write_bytes(b"a user's")
    size = sum(path.stat().st_size for path in store_folder(cache).iterdir())
    assert size == 36 * (FRAME_BYTES + 40)
    lock = locked(store_folder(cache))
    assert clear_cache(cache) == (0, (store_folder(cache),))
    os.close(lock)
    assert clear_cache(cache) == (size, ())
    assert stored_frames(cache) == ()
    assert other.read_bytes() == b"a user's"


def test_the_command_shows_and_clears(frames, cache, gi_edge, monkeypatch, tmp_path):
    monkeypatch.setenv("GI_EDGE_CACHE", str(cache))
    decode(frames, cache)
    assert gi_edge("data", "cache", cwd=tmp_path).out == "32 px, pad, bicubic: 36 frames, 0.00 GB\n"
    assert (
        '"frames": 36, "size_bytes": 112032, "is_current": true' in gi_edge("data", "cache", "--json", cwd=tmp_path).out
    )
    assert gi_edge("data", "cache", "--clear", cwd=tmp_path).code == 0
    assert stored_frames(cache) == ()
    monkeypatch.setenv("GI_EDGE_CACHE", "off")
    assert "is off" in gi_edge("data", "cache", cwd=tmp_path).err


HOME = Path.home()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GI_EDGE_CACHE": "off", "XDG_CACHE_HOME": "/x"}, None),
        ({"GI_EDGE_CACHE": "/some/where", "XDG_CACHE_HOME": "/x"}, Path("/some/where")),
        ({"GI_EDGE_CACHE": "~/here"}, HOME / "here"),
        ({"GI_EDGE_CACHE": "", "XDG_CACHE_HOME": "/x"}, Path("/x/gi-edge")),
        ({"XDG_CACHE_HOME": "relative"}, None),
    ],
)
def test_where_the_cache_is(variables, folder, monkeypatch):
    if folder is None and "GI_EDGE_CACHE" not in variables:
        folder = HOME / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "gi-edge"
    assert cache_folder(variables) == folder


def test_16_bit_and_alpha_frames_come_back_as_decoded(tmp_path, cache):
    folder = write_frames(tmp_path / "odd", per_class=2)
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(levels).save(folder / "red lesion" / "grey.png")
    Image.fromarray(np.full((50, 70, 4), 90, np.uint8)).save(folder / "red lesion" / "alpha.png")
    assert_same(folder, cache)
    assert_same(folder, cache)


def test_a_store_closes_its_files_and_gives_the_lock_back(frames, cache):
    decode(frames, cache)
    store = store_of(cache, SPEC)
    assert store.start_writing(1) == ""
    assert locked(store.folder) is None
    descriptors = list(store._descriptors)
    store.close()
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    lock = locked(store.folder)
    assert lock is not None
    os.close(lock)
