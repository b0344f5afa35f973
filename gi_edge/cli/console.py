"""What the verbs share: progress on stderr, the workspace, JSON and tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gi_edge.errors import ConfigError
from gi_edge.files import disk_errors
from gi_edge.progress import Task
from gi_edge.workspace import Workspace


class ConsoleProgress:
    """Messages and bars on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str, total: int | None) -> Iterator[Task]:
        """Show a bar while the block runs; only on a terminal, so that logs stay readable."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        shown = self._console.is_terminal
        # redirected, what is printed to stdout meanwhile would go to this console, which is stderr
        with _Bars(*columns, console=self._console, transient=True, disable=not shown, redirect_stdout=False) as bars:
            yield _Bar(bars, bars.add_task(title, total=total, note=""))


class _Bars(RichProgress):
    """A bar, and the note of its task in a line below, which is cut rather than wrapped."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", style="dim", no_wrap=True, overflow="ellipsis")


class _Bar:
    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=steps, note=note)


def workspace() -> Workspace:
    """Return the workspace of the current folder. Raises: ConfigError if that was deleted."""
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError("the current folder no longer exists", fix="cd to a folder that does") from error
    return Workspace.find(here)


def shown_path(path: Path) -> str:
    """Return a path relative to the current folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def print_table(table: RenderableType) -> None:
    """Print a table to stdout, at least 100 columns wide when stdout is no terminal.

    Raises: ArtifactError if stdout is a file and its disk is full.
    """
    width = None if is_stdout_terminal() else 120
    with disk_errors(Path("to stdout")):
        Console(width=width, highlight=False).print(table)
        if sys.stdout is not None:
            sys.stdout.flush()


def is_stdout_terminal() -> bool:
    """Return whether somebody looks at stdout; Python has none where it was closed, as by >&-."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_text(text: str) -> None:
    """Print text to stdout as it is; a file name in it keeps its bytes, UTF-8 or not, and its escapes.

    Raises: ArtifactError if stdout is a file and its disk is full.
    """
    # bytes: as Python reads such names; escapes: click would take them out where stdout is no terminal
    as_bytes = "\x1b" in text or any("\udc80" <= character <= "\udcff" for character in text)
    with disk_errors(Path("to stdout")):
        click.echo(text.encode("utf-8", "surrogateescape") if as_bytes else text, nl=not text.endswith("\n"))
