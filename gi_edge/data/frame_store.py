"""A file of decoded frames, each kept by the content it was decoded from: the store behind the frame cache.

`pixels` holds frame after frame, `index` a record for each: the sha256 of the image file, the CRC-32 of that sha256
with the pixels, and the CRC-32 of the record itself. A frame is written before its record, so a process that is killed
leaves whole frames, and at most one that no record names and the next writer writes over. What a power cut, a full or a
bad disk makes of the files, the checksums find out; nothing relies on the order in which blocks reach the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RECORD = np.dtype([("key", "V32"), ("pixels_crc", "<u4"), ("record_crc", "<u4")])
_CHECKED = _RECORD.itemsize - 4
_MOST_COPIES = 8
"""Rows that one content may have: files delivered twice keep their place in the order of a dataset."""
_RESERVE_BYTES = 1 << 30
"""What the cache leaves free on its disk, for the adapters and reports that the work is about."""


@dataclass
class _Tables:
    """The open files of a store and its records, as one process knows them."""

    index: int = -1
    pixels: int = -1
    crcs: list[int] = field(default_factory=list)
    rows: dict[bytes, list[int]] = field(default_factory=dict)


class FrameStore:
    """The frames of one way of decoding, in a folder; many processes read it, one at a time writes.

    Reading is safe in threads, also while another thread writes.
    """

    def __init__(self, folder: Path, size_px: int) -> None:
        self.folder = folder
        self._shape = (size_px, size_px, 3)
        self._frame_bytes = size_px * size_px * 3
        self._descriptors: list[int] = []
        self._tables = self._read_tables(os.O_RDONLY)
        self._first_own = len(self._tables.crcs)

    def close(self) -> None:
        """Close the files and let another process write. Views stay valid."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def rows_of(self, key: bytes) -> tuple[int, ...]:
        """Return the rows that others have recorded for the sha256 of an image file, whole or not."""
        return tuple(row for row in self._tables.rows.get(key, ()) if row < self._first_own)

    def is_whole(self, row: int, key: bytes) -> bool:
        """Return whether a row holds the pixels written for key: they are read and their checksum compared."""
        tables = self._tables
        try:
            pixels = os.pread(tables.pixels, self._frame_bytes, row * self._frame_bytes)
        except OSError:  # a bad block
            return False
        return row < len(tables.crcs) and len(pixels) == self._frame_bytes and _crc(pixels, key) == tables.crcs[row]

    def start_writing(self, frames: int) -> str:
        """Become the one writer, with room for so many frames. Returns "", or why this process must not write."""
        needed = frames * self._frame_bytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            free = shutil.disk_usage(self.folder).free
            if free < needed + _RESERVE_BYTES:
                wanted = f"up to {needed / 1e9:.1f} GB and {_RESERVE_BYTES / 1e9:.1f} GB to spare"
                return f"{wanted} are needed there, {free / 1e9:.1f} GB are free"
            lock = locked(self.folder)
            if lock is None:
                return "another process is filling it"
            self._descriptors.append(lock)
            tables = self._read_tables(os.O_RDWR | os.O_CREAT)
            if self._tables.crcs and not os.path.samestat(os.fstat(self._tables.pixels), os.fstat(tables.pixels)):
                # rows found so far are those of the old file
                return "it was cleared meanwhile"
        except OSError as error:
            return error.strerror or type(error).__name__
        self._tables, self._first_own = tables, len(tables.crcs)
        return ""

    def add(self, key: bytes, pixels: NDArray[np.uint8]) -> int | None:
        """Write a frame and return its row; None if its content has rows enough, and none with these pixels.

        A damaged row of the same content is written again in its place; a row that others may have mapped is never
        written over with anything else. Raises: OSError, and then there is no new record.
        """
        tables, content = self._tables, pixels.tobytes()
        crc = _crc(content, key)
        known = tables.rows.get(key, [])
        same = [row for row in known if tables.crcs[row] == crc]
        for row in same:
            if not self.is_whole(row, key):
                _write(tables.pixels, content, row * self._frame_bytes)
                return row
        if same and (same[0] < self._first_own or len(known) >= _MOST_COPIES):  # another process was faster
            return same[0]
        if len(known) >= _MOST_COPIES:
            return None
        row = len(tables.crcs)
        _write(tables.pixels, content, row * self._frame_bytes)
        _write(tables.index, _record(key, crc), row * _RECORD.itemsize)
        tables.crcs.append(crc)
        tables.rows.setdefault(key, []).append(row)
        return row

    def view(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return rows start to stop, [rows, size_px, size_px, 3], mapped from the file and read-only."""
        shape = (stop - start, *self._shape)
        with os.fdopen(os.dup(self._tables.pixels), "rb") as file:
            return np.memmap(file, np.uint8, "r", offset=start * self._frame_bytes, shape=shape)

    def _read_tables(self, flags: int) -> _Tables:
        """Open the files and read the records. Raises: OSError if they are to be written and cannot be."""
        tables = _Tables()
        try:
            tables.index = self._opened("index", flags)
            content = _read_all(tables.index)
            if flags != os.O_RDONLY and not content:  # pixels without a record may still be mapped: leave them alone
                (self.folder / "pixels").unlink(missing_ok=True)
            tables.pixels = self._opened("pixels", flags)
        except OSError:
            if flags != os.O_RDONLY:
                raise
            return _Tables()  # none yet, or not ours to read: every frame is a new one
        for row, record in enumerate(np.frombuffer(content, _RECORD)):
            tables.crcs.append(int(record["pixels_crc"]))
            if zlib.crc32(record.tobytes()[:_CHECKED]) == record["record_crc"]:
                tables.rows.setdefault(record["key"].tobytes(), []).append(row)
        return tables

    def _opened(self, name: str, flags: int) -> int:
        descriptor = os.open(self.folder / name, flags | os.O_CLOEXEC, 0o600)
        self._descriptors.append(descriptor)
        return descriptor


def locked(folder: Path) -> int | None:
    """Return a descriptor that holds a store's writing lock, or None if another process holds it.

    The kernel drops the lock with the process, so a killed writer stops nobody. Raises: OSError.
    """
    path = folder / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    is_ours = False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.fstat(lock).st_ino == path.stat().st_ino  # else the store was cleared in between
    except (BlockingIOError, FileNotFoundError):
        return None
    finally:
        if not is_ours:
            os.close(lock)
    return lock if is_ours else None


def recorded_frames(folder: Path) -> int:
    """Return how many frames a store has records of."""
    path = folder / "index"
    return path.stat().st_size // _RECORD.itemsize if path.is_file() else 0


def _crc(pixels: bytes, key: bytes) -> int:
    return zlib.crc32(pixels, zlib.crc32(key))


def _record(key: bytes, crc: int) -> bytes:
    start = key + crc.to_bytes(4, "little")
    return start + zlib.crc32(start).to_bytes(4, "little")


def _read_all(descriptor: int) -> bytes:
    """Return the whole records of an index; a torn one at the end is left out."""
    content = bytearray()
    while block := os.pread(descriptor, 1 << 20, len(content)):
        content += block
    return bytes(content[: len(content) // _RECORD.itemsize * _RECORD.itemsize])


def _write(descriptor: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
