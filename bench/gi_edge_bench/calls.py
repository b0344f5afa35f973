"""What one timed call is: a batch where the graph computes, a batch in host memory, or an image file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.speed import Region
from gi_edge.data.preprocess import PreprocessSpec, pixels_from_image, read_image
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.session import Session

_BATCHES = 8
_BOUND_BATCHES = 2
"""Batches that lie on the device at once; its memory may be small."""
_LAID_OUT: dict[Region, int] = {"device": _BOUND_BATCHES, "host": _BATCHES, "file": 1}


@dataclass(frozen=True)
class Subject:
    """A loaded model and what it is timed with."""

    session: Session
    pixels: NDArray[np.uint8]
    """[n, size, size, 3]."""
    preprocess: PreprocessSpec
    paths: tuple[Path, ...] = ()
    """Image files for the region file; none where the pixels come from no file."""
    largest_batch: int | None = None
    """Of an engine; None: any."""
    note: str = ""
    """What must be known of times measured with these pixels."""


@dataclass(frozen=True)
class Calls:
    """Timed calls, numbered from 0; several threads may make them where the region is host or file."""

    run: Callable[[int], float]
    """Make call number i and return the milliseconds it took. Calls differ from one another, so that no answer comes
    from a cache, and repeat after a few."""
    clock: Literal["host", "cuda events"]


@contextmanager
def calls_of(subject: Subject, region: Region, batch_size: int) -> Iterator[Calls]:
    """Lay out batches, or name files, for a region; what lies on the device is freed at the end.

    Raises: RuntimeUnavailableError if this machine has no memory for them.
    """
    with _memory_for(subject.pixels, batch_size, _LAID_OUT[region]), ExitStack() as stack:
        if region == "device":
            batches = _batches(subject.pixels, batch_size, _BOUND_BATCHES)
            bound = [stack.enter_context(closing(subject.session.bind(batch))) for batch in batches]
            yield Calls(lambda number: bound[number % len(bound)].run(), bound[0].clock)
        elif region == "host":
            batches = _batches(subject.pixels, batch_size, _BATCHES)
            yield Calls(lambda number: _timed(lambda: subject.session.run(batches[number % len(batches)])), "host")
        else:
            yield Calls(lambda number: _timed(lambda: _label_of_files(subject, number, batch_size)), "host")


@contextmanager
def _memory_for(pixels: NDArray[np.uint8], batch_size: int, count: int) -> Iterator[None]:
    """Raise RuntimeUnavailableError where so many batches of pixels cannot be held.

    More than the whole memory is refused beforehand: Linux may grant it, and end the process when it is written.
    """
    needed = count * batch_size * pixels[0].nbytes
    fix = f"--batch-size smaller than {batch_size}"
    if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise RuntimeUnavailableError(_no_memory(batch_size, needed), fix=fix)
    try:
        yield
    except MemoryError as error:
        raise RuntimeUnavailableError(_no_memory(batch_size, needed), fix=fix) from error


def _no_memory(batch_size: int, needed: int) -> str:
    return f"no memory for a batch of {batch_size} frames: timing it takes {needed / 1e9:.1f} GB for pixels alone"


def _label_of_files(subject: Subject, number: int, batch_size: int) -> None:
    files = [subject.paths[(number * batch_size + place) % len(subject.paths)] for place in range(batch_size)]
    pixels = np.stack([pixels_from_image(read_image(path), subject.preprocess) for path in files])
    subject.session.run(pixels).argmax(axis=1)


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - before) / 1e6


def _batches(pixels: NDArray[np.uint8], batch_size: int, count: int) -> list[NDArray[np.uint8]]:
    rows = np.arange(count * batch_size) % len(pixels)
    return [np.ascontiguousarray(pixels[part]) for part in np.split(rows, count)]
