"""How far a long run is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gi_edge.progress import Progress, Task

_TELL_EVERY_S = 20.0


class Meter:
    """Counts, and tells count, rate and the time left where the total is known."""

    def __init__(self, progress: Progress, task: Task, noun: str, total: int | None) -> None:
        self._progress, self._task, self._noun, self._total = progress, task, noun, total
        self._count = 0
        self._start = self._told = time.monotonic()

    def advance(self) -> None:
        """Count one."""
        self._count += 1
        now = time.monotonic()
        self._task.advance(note=self.line(now - self._start))
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            self._progress.say(self.line(now - self._start))

    def line(self, elapsed_s: float) -> str:
        """Return the line for so many seconds since the start."""
        rate = self._count / elapsed_s if elapsed_s > 0 else 0.0
        of_all = "" if self._total is None else f" of {'about ' if self._noun == 'frames' else ''}{self._total:,}"
        left = ""
        if self._total is not None and rate > 0:
            seconds = max(0, round((self._total - self._count) / rate))
            left = f", {seconds // 60}:{seconds % 60:02d} left"
        return f"{self._count:,}{of_all} {self._noun}, {rate:.1f}/s{left}"


@contextmanager
def meter(progress: Progress, noun: str, total: int | None) -> Iterator[Meter]:
    """Yield a meter for a number of things, or for nobody knows how many."""
    with progress.task(noun, total) as task:
        yield Meter(progress, task, noun, total)
