"""Image files worked on in threads, in order, with a bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gi_edge.data.index import Frame
from gi_edge.data.preprocess import image_warnings
from gi_edge.progress import Progress

T = TypeVar("T")


def each_frame(
    work: Callable[[Frame], T], frames: Sequence[Frame], progress: Progress, title: str
) -> Iterator[tuple[Frame, T]]:
    """Yield every frame and what work makes of it, on all cores, in the order of the frames."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with image_warnings(), progress.task(title, len(frames)) as task:
            for frame, outcome in zip(frames, pool.map(work, frames), strict=True):
                yield frame, outcome
                task.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the frames still queued
