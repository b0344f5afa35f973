"""Commands in processes of their own: what one of them does to the GPU, or to its own memory, ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_REPOSITORY = Path(__file__).resolve().parents[2]
_IMPORTED = (_REPOSITORY, *(_REPOSITORY / name for name in ("training", "export", "bench")))
"""Folders that Python imports this repository from, installed or not."""
_LONGEST_REASON = 300
_ENDING = (signal.SIGINT, signal.SIGTERM)
_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    text: str
    """The command."""
    code: int
    """Of its exit; negative: the signal that ended it."""
    out: str
    err: str
    seconds: float
    timed_out: bool = False

    @property
    def reason(self) -> str | None:
        """Why it failed, one line; None if it did not."""
        if self.timed_out:
            return f"ended after {self.seconds:.0f} s: {self.text}"
        if self.code == 0:
            return None
        lines = [" ".join(line.split()) for line in self.err.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("error:", "Error:"))] or lines[-1:]
        ending = f"ended by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{ending}: {told[-1] if told else 'it said nothing'}"[:_LONGEST_REASON]


def run_module(
    module: str, words: list[str], folder: Path, limit_s: float, variables: Mapping[str, str] = MappingProxyType({})
) -> Done:
    """Run ``python -m module words`` in a folder; after limit_s it is ended with all that it started.

    variables: environment of the command, besides this process's.
    """
    shown = "gi-edge" if module == "gi_edge" else f"python -m {module}"
    text = " ".join([shown, *words])
    paths = [*map(str, _IMPORTED), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    started, timed_out = time.perf_counter(), False
    begun: list[subprocess.Popen[str]] = []
    try:
        with _signals_held():
            begun.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *words],
                    cwd=folder,
                    env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            _running.update(begun)
        (process,) = begun
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        timed_out = True
        _end(process)
        out, err = process.communicate()
    except BaseException:
        for process in begun:
            _end(process)
            process.communicate()
        raise
    finally:
        _running.difference_update(begun)
    return Done(text, process.returncode, out, err, time.perf_counter() - started, timed_out)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let Ctrl-C and a kill wait until the block ends: within it a command may run that nobody could end yet."""
    if threading.current_thread() is not threading.main_thread():  # no signal is handled in another
        yield
        return
    held: list[int] = []
    handlers = {number: signal.signal(number, lambda came, _: held.append(came)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for came in held:
        signal.raise_signal(came)


def end_all() -> None:
    """End every command that runs now, in whatever thread: each leads a group of its own, so no signal reaches it."""
    for process in tuple(_running):
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and what it started; it leads a group of its own. One that is gone already needs nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
