"""The frame cache: the same pixels with and without it, whatever happens to its files and its processes."""

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
from PIL import Image
from support import write_frames

from gi_edge.data import frame_cache, frame_store
from gi_edge.data.frame_cache import cache_folder, clear_cache, store_of, stored_frames
from gi_edge.data.frame_store import locked
from gi_edge.data.index import index_from_folder
from gi_edge.data.pixels import decode_frames
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.spec import read_spec
from gi_edge.errors import DataError
from gi_edge.progress import Silent

SPEC = PreprocessSpec(size_px=32)
FRAME_BYTES = 32 * 32 * 3


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decodings(monkeypatch):
    """The files that are decoded, not found in the cache."""
    from gi_edge.data import pixels

    seen = []
    read = pixels.read_image
    monkeypatch.setattr(pixels, "read_image", lambda path, content=None: seen.append(path) or read(path, content))
    return seen


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
