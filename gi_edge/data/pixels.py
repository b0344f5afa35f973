"""Decode many frames once, in parallel, into one array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.data.frame_cache import CACHE_VARIABLE, store_of
from gi_edge.data.frame_rows import FrameRows
from gi_edge.data.frame_store import FrameStore
from gi_edge.data.index import Frame
from gi_edge.data.pool import each_frame
from gi_edge.data.preprocess import PreprocessSpec, UnreadableImageError, pixels_from_image, read_image
from gi_edge.errors import DataError
from gi_edge.files import sha256_file
from gi_edge.progress import Progress

_MOST_FILE_BYTES = 1 << 28
"""A larger file is decoded without being read whole first, hashed on its own, and not cached."""


@dataclass(frozen=True)
class Unreadable:
    """A frame that could not be decoded, and why."""

    frame: Frame
    reason: str


@dataclass(frozen=True)
class DecodedFrames:
    """Readable frames and their pixels."""

    frames: tuple[Frame, ...]
    pixels: NDArray[np.uint8]
    """[n, size, size, 3] RGB, row i for frames[i]; read-only and mapped from a file, so it may exceed the memory."""
    sha256: tuple[str, ...]
    """Of each frame's file, 64 hex digits: of the very bytes that its pixels come from, unless a file is so large that
    it is read twice."""
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True)
class _Outcome:
    """What became of one frame: rows of the cache that hold it, or pixels, or the reason why it has none."""

    sha256: bytes = b""
    """Of the file's bytes."""
    is_cachable: bool = False
    rows: tuple[int, ...] = ()
    pixels: NDArray[np.uint8] | None = None
    reason: str = ""


def decode_frames(
    frames: Sequence[Frame], spec: PreprocessSpec, progress: Progress, title: str, cache: Path | None = None
) -> DecodedFrames:
    """Decode and resize frames on all cores. Unreadable ones are told, left out and returned by name.

    cache: folder of gi_edge.data.frame_cache, to find frames decoded earlier and to keep new ones; the pixels are the
    same with and without. Every file is read and hashed in any case, and its pixels come from these very bytes or from
    a cached frame whose checksum was compared in this call. Unreadable frames are not cached. A cache that cannot be
    used is told and done without. Without one, as what proves an export or an engine wants it, nothing but the files
    is read.

    Raises: DataError if no frame can be read, or the disk has no room for those that are not cached.
    """
    if cache is None:
        return _decoded(frames, spec, progress, title, None)
    store = store_of(cache, spec)
    try:
        return _decoded(frames, spec, progress, title, store)
    finally:
        store.close()


def _decoded(
    frames: Sequence[Frame], spec: PreprocessSpec, progress: Progress, title: str, store: FrameStore | None
) -> DecodedFrames:
    writer = _Writer(store, progress)
    readable: list[Frame] = []
    hashes: list[str] = []
    unreadable: list[Unreadable] = []

    def work(frame: Frame) -> _Outcome:
        return _outcome(frame.path, spec, store)

    with closing(FrameRows(spec.size_px, store)) as rows:
        for position, (frame, outcome) in enumerate(each_frame(work, frames, progress, title)):
            if outcome.reason:
                unreadable.append(Unreadable(frame, outcome.reason))
                progress.say(f"skipped {frame.id}: {outcome.reason}")
                continue
            readable.append(frame)
            hashes.append(outcome.sha256.hex())
            if outcome.pixels is None:
                rows.take_rows(outcome.rows)
            else:
                rows.take_pixels(outcome.pixels, writer.row_of(outcome, len(frames) - position))
        _check_any(readable, unreadable)
        if unreadable:
            progress.say(f"skipped {len(unreadable)} unreadable of {len(frames)} images")
        writer.tell(len(readable))
        return DecodedFrames(tuple(readable), rows.pixels(), tuple(hashes), tuple(unreadable))


def _check_any(readable: Sequence[Frame], unreadable: Sequence[Unreadable]) -> None:
    if not readable:
        raise DataError(
            f"none of {len(unreadable)} images could be read"
            + (f"; the first, {unreadable[0].frame.path}: {unreadable[0].reason}" if unreadable else ""),
            fix="check that the files are images and whole",
        )


def _outcome(path: Path, spec: PreprocessSpec, store: FrameStore | None) -> _Outcome:
    content = _content(path)
    key = hashlib.sha256(content).digest() if content else b""
    known = store.rows_of(key) if store is not None and key else ()
    if store is not None and key and (whole := tuple(row for row in known if store.is_whole(row, key))):
        return _Outcome(key, True, whole)
    try:
        pixels = pixels_from_image(read_image(path, content), spec)
        return _Outcome(key or bytes.fromhex(sha256_file(path)), bool(key), known, pixels)
    except (UnreadableImageError, OSError) as error:
        return _Outcome(reason=str(error))


def _content(path: Path) -> bytes | None:
    """Return the bytes of a file; None if it is too large, or cannot be read, which decoding then explains."""
    try:
        return path.read_bytes() if path.stat().st_size <= _MOST_FILE_BYTES else None
    except OSError:
        return None


class _Writer:
    """Adds new frames to the cache for as long as it takes them, and says what came of it."""

    def __init__(self, store: FrameStore | None, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._is_open: bool | None = None  # None: not tried yet
        self._added = self._damaged = 0

    def row_of(self, outcome: _Outcome, frames_left: int) -> int | None:
        """Return the row of the cache that a frame was written to, or None."""
        if self._store is None or not outcome.is_cachable or outcome.pixels is None:
            return None
        if self._is_open is None:
            self._is_open = self._start(self._store, frames_left)
        self._damaged += bool(outcome.rows)
        if not self._is_open:
            return None
        try:
            row = self._store.add(outcome.sha256, outcome.pixels)
        except OSError as error:
            self._is_open = self._refuse(self._store, error.strerror or type(error).__name__)
            return None
        self._added += row is not None
        return row

    def tell(self, frames: int) -> None:
        """Say how many of so many readable frames were new to the cache."""
        if self._damaged:
            self._progress.say(f"{self._damaged:,} cached frames were damaged and have been decoded again")
        if self._added and self._store is not None:
            place = self._store.folder.parent.parent
            self._progress.say(
                f"{self._added:,} of {frames:,} frames are new in the cache {place} (gi-edge data cache shows, clears)"
            )

    def _start(self, store: FrameStore, frames_left: int) -> bool:
        reason = store.start_writing(frames_left)
        return self._refuse(store, reason) if reason else True

    def _refuse(self, store: FrameStore, reason: str) -> bool:
        self._progress.say(
            f"new frames are not cached in {store.folder.parent.parent}: {reason} "
            f"({CACHE_VARIABLE}=FOLDER names another place, {CACHE_VARIABLE}=off none)"
        )
        return False
