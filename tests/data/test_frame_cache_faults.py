"""The frame cache: right pixels whatever happens to its files, its disk and its processes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from frame_caches import FRAME_BYTES, assert_same, decode, index_of, pixels_file, store_folder

from gi_edge.data import frame_store
from gi_edge.data.frame_cache import clear_cache, stored_frames
from gi_edge.data.frame_store import locked
from gi_edge.errors import DataError


def flip_bit(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit in pixels": lambda folder: flip_bit(folder / "pixels", 5 * FRAME_BYTES + 77),
    "a flipped bit in a key": lambda folder: flip_bit(folder / "index", 5 * 40 + 3),
    "a flipped bit in a checksum": lambda folder: flip_bit(folder / "index", 5 * 40 + 33),
    "a flipped bit in a record's checksum": lambda folder: flip_bit(folder / "index", 5 * 40 + 38),
    "pixels cut short": lambda folder: os.truncate(folder / "pixels", 20 * FRAME_BYTES + 100),
    "pixels empty": lambda folder: os.truncate(folder / "pixels", 0),
    "pixels gone": lambda folder: (folder / "pixels").unlink(),
    "pixels lost as a power cut does": lambda folder: (folder / "pixels").write_bytes(bytes(36 * FRAME_BYTES)),
    "index cut within a record": lambda folder: os.truncate(folder / "index", 20 * 40 + 17),
    "index empty": lambda folder: os.truncate(folder / "index", 0),
    "index gone": lambda folder: (folder / "index").unlink(),
    "index of another store": lambda folder: (folder / "index").write_bytes(os.urandom(36 * 40)),
    "rows swapped": lambda folder: (folder / "pixels").write_bytes(
        (folder / "pixels").read_bytes()[FRAME_BYTES:] + (folder / "pixels").read_bytes()[:FRAME_BYTES]
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_mended(frames, cache, decodings, damage):
    decode(frames, cache)
    DAMAGE[damage](store_folder(cache))
    assert_same(frames, cache)
    decodings.clear()
    decode(frames, cache)
    assert decodings == []
    assert_same(frames, cache)


def test_damaged_frames_are_told_and_written_again_in_their_place(frames, cache):
    decode(frames, cache)
    flip_bit(pixels_file(cache), 5 * FRAME_BYTES + 77)
    _, heard = decode(frames, cache)
    assert heard.lines[0] == "1 cached frames were damaged and have been decoded again"
    assert pixels_file(cache).stat().st_size == 36 * FRAME_BYTES


def test_rows_that_another_run_has_mapped_never_change(frames, cache):
    mapped = decode(frames, cache)[0].pixels
    before = np.array(mapped)
    (store_folder(cache) / "index").unlink()
    decode(index_of(frames)[::-1], cache)
    assert np.array_equal(mapped, before)
    clear_cache(cache)
    decode(index_of(frames)[::-1], cache)
    assert np.array_equal(mapped, before)


def test_a_cache_cleared_within_a_run_does_not_mix_old_rows_with_new_ones(frames, cache, monkeypatch):
    half = index_of(frames)[:18]
    decode(half, cache)
    start = frame_store.FrameStore.start_writing

    def cleared_first(store, count):
        monkeypatch.setattr(frame_store.FrameStore, "start_writing", start)
        clear_cache(cache)
        decode(index_of(frames)[::-1], cache)
        return start(store, count)

    monkeypatch.setattr(frame_store.FrameStore, "start_writing", cleared_first)

    cached, heard = decode(frames, cache)
    assert np.array_equal(cached.pixels, decode(frames)[0].pixels)
    assert "it was cleared meanwhile" in heard.lines[0]


BUILD = """
import sys
from pathlib import Path
from gi_edge.data import frame_store, pixels
from gi_edge.data.index import index_from_folder
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.spec import read_spec
from gi_edge.progress import Silent
write = frame_store._write
done = 0
def dying(descriptor, content, offset):
    global done
    for part in (content[: len(content) // 2], content[len(content) // 2 :]):
        if done == int(sys.argv[3]):
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        write(descriptor, part, offset)
        offset += len(part)
        done += 1
frame_store._write = dying
frames = index_from_folder("d", Path(sys.argv[1]), read_spec("folders")).frames
pixels.decode_frames(frames, PreprocessSpec(size_px=32), Silent(), "decode", Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", [0, 1, 3, 46, 47, 143])
def test_a_build_killed_between_any_two_writes_leaves_right_pixels(frames, cache, monkeypatch, moment):
    """Each frame is four writes here: two halves of its pixels, two of its record."""
    killed = subprocess.run([sys.executable, "-c", BUILD, str(frames), str(cache), str(moment)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert stored_frames(cache)[0].frames == moment // 4
    assert_same(frames, cache)
    assert pixels_file(cache).stat().st_size == 36 * FRAME_BYTES
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: pytest.fail("a copy was made"))
    decode(frames, cache)


def test_builds_at_once_are_safe_and_a_reader_beside_them(frames, cache):
    command = [sys.executable, "-c", BUILD, str(frames), str(cache), "-1"]
    builders = [subprocess.Popen(command) for _ in range(2)]
    while any(builder.poll() is None for builder in builders):
        assert_same(frames, cache)
        time.sleep(0.02)
    assert [builder.returncode for builder in builders] == [0, 0]
    assert stored_frames(cache)[0].frames == 36
    assert_same(frames, cache)


def test_a_second_writer_goes_on_without(frames, cache):
    half = index_of(frames)[:18]
    decode(half, cache)
    lock = locked(store_folder(cache))
    assert lock is not None
    _, heard = assert_same(frames, cache)
    assert "another process is filling it" in heard.lines[0]
    os.close(lock)
    assert stored_frames(cache)[0].frames == 18
    _, heard = assert_same(frames, cache)
    assert heard.lines[0].startswith("18 of 36 frames are new in the cache")


def test_a_disk_that_fills_while_building_costs_the_cache_not_the_run(frames, cache, monkeypatch):
    write, calls = os.pwrite, []

    def filling(descriptor, content, offset):
        calls.append(offset)
        if len(calls) > 21:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", filling)
    _, heard = assert_same(frames, cache)
    assert [line for line in heard.lines if "No space left on device" in line] == [
        f"new frames are not cached in {cache}: No space left on device "
        "(GI_EDGE_CACHE=FOLDER names another place, GI_EDGE_CACHE=off none)"
    ]
    assert stored_frames(cache)[0].frames == 10
    monkeypatch.undo()
    assert_same(frames, cache)


def test_too_little_space_is_left_alone(frames, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    _, heard = assert_same(frames, cache)
    assert "up to 0.0 GB and 1.1 GB to spare are needed there, 1.0 GB are free" in heard.lines[0]
    assert stored_frames(cache)[0].frames == 0


def test_no_room_for_what_is_not_cached_is_an_error(frames, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(DataError, match="No space left on device.*TMPDIR=FOLDER"):
        decode(frames)


def test_a_folder_that_cannot_be_made_is_told(frames, tmp_path):
    (tmp_path / "file").write_text("")
    _, heard = assert_same(frames, tmp_path / "file" / "cache")
    assert "Not a directory" in heard.lines[0]


def test_a_read_only_file_system_is_read(frames, cache, decodings, monkeypatch):
    decode(index_of(frames)[:18], cache)
    opened = os.open

    def read_only(path, flags, *mode):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT) and cache in Path(path).parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    decodings.clear()
    _, heard = assert_same(frames, cache)
    assert "Read-only file system" in heard.lines[0]
    assert len(decodings) == 36 + 18
