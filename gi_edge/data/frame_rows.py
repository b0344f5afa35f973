"""Frames on their way into one array: from rows of the cache, from new pixels, or from both."""

from __future__ import annotations

import tempfile
from contextlib import closing
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gi_edge.data.frame_store import FrameStore
from gi_edge.errors import DataError


class FrameRows:
    """Collects frames in order. New pixels go to the cache where it takes them, else to an unnamed temporary file."""

    def __init__(self, size_px: int, store: FrameStore | None) -> None:
        self._shape = (size_px, size_px, 3)
        self._store = store
        self._spill = _TemporaryFrames(self._shape)
        self._rows: list[tuple[bool, int]] = []  # whether in the cache, and its row there or in the spill

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """Drop what was collected; the array of pixels() stays valid."""
        self._spill.close()

    def take_rows(self, rows: tuple[int, ...]) -> None:
        """Append a frame of the cache that has these rows; the one behind the last frame's is preferred."""
        following = self._rows[-1][1] + 1 if self._rows else -1
        self._rows.append((True, following if following in rows else rows[0]))

    def take_pixels(self, pixels: NDArray[np.uint8], row: int | None) -> None:
        """Append a frame whose pixels are at hand, written to a row of the cache or, with None, not."""
        if row is None:
            self._spill.append(pixels)
        self._rows.append((False, len(self._spill) - 1) if row is None else (True, row))

    def pixels(self) -> NDArray[np.uint8]:
        """Return all frames, [n, size_px, size_px, 3], read-only, mapped from a file.

        That is the cache itself where the frames follow one another there, else a copy.

        Raises: DataError if the disk has no room for a copy.
        """
        sources = {is_cached for is_cached, _ in self._rows}
        start = self._rows[0][1]
        if len(sources) == 1 and [row for _, row in self._rows] == list(range(start, start + len(self))):
            return self._view(start, start + len(self), is_cached=sources.pop())
        whole = {
            is_cached: self._view(0, 1 + max(row for cached, row in self._rows if cached is is_cached), is_cached)
            for is_cached in sources
        }
        with closing(_TemporaryFrames(self._shape)) as copy:
            for is_cached, row in self._rows:
                copy.append(whole[is_cached][row])
            return copy.view(0, len(copy))

    def _view(self, start: int, stop: int, is_cached: bool) -> NDArray[np.uint8]:
        if is_cached and self._store is not None:
            return self._store.view(start, stop)
        return self._spill.view(start, stop)


class _TemporaryFrames:
    """Frames in a file without a name: it may exceed the memory, and nothing of it is left behind after a kill."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self._file: IO[bytes] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, pixels: NDArray[np.uint8]) -> None:
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115
            self._file.write(pixels.tobytes())
        except OSError as error:
            raise _no_room(error) from error
        self._count += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def view(self, start: int, stop: int) -> NDArray[np.uint8]:
        assert self._file is not None
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        size = int(np.prod(self._shape))
        return np.memmap(self._file, np.uint8, "r", offset=start * size, shape=(stop - start, *self._shape))


def _no_room(error: OSError) -> DataError:
    return DataError(
        f"decoded frames cannot be written to {tempfile.gettempdir()}: {error.strerror or error}",
        fix="free space there, or name another folder: TMPDIR=FOLDER",
    )
