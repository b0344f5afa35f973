"""How long work tells of itself, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One running piece of work."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move on by a number of steps; note is shown beside the bar."""


class Progress(Protocol):
    """Receives messages and running work; the command line draws them on stderr."""

    def say(self, text: str) -> None:
        """Tell one line."""

    def task(self, title: str, total: int | None) -> AbstractContextManager[Task]:
        """Start a piece of work of so many steps; None: nobody knows how many."""


class _SilentTask:
    def advance(self, steps: int = 1, note: str = "") -> None:
        return None


class Silent:
    """Says nothing: for library use and tests."""

    def say(self, text: str) -> None:
        return None

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Task]:
        yield _SilentTask()
