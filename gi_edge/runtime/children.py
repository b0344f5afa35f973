"""Run a probe in a process of its own, so that a crash or a hang of a runtime is told and not suffered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import IO, Any

_START = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "channel = os.dup(int(sys.argv[3])); from gi_edge.runtime.probe import main; main(sys.argv[1], channel)"
)
_WORDS = 300
"""Characters of a child's last words that are shown."""


def probed(name: str, timeout_s: float) -> dict[str, Any]:
    """Return what a probe says; {"fault": …} if it failed, crashed, or did not answer or end in time.

    An answer is not enough: a runtime that crashes or hangs when the process ends does so to its users too. The child
    imports from where this process does, whatever the current folder holds.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        words = [sys.executable, "-c", _START, name, json.dumps(sys.path), str(said.fileno())]
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=(said.fileno(),),
            start_new_session=True,
        )
        try:
            code: int | None = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(child)
        answer = _answer(said)
        if answer is not None and code == 0:
            return answer
        if answer is None:
            fault = f"gave no answer within {timeout_s:g} s" if code is None else _end_text(code, " before it answered")
        else:
            ended = f"did not end within {timeout_s:g} s" if code is None else _end_text(code)
            fault = f"{answer.get('fault', 'answered')}, then {ended}"
        return {"fault": f"{fault}{_last_words(errors) if code is not None else ''}"}


def _answer(said: IO[bytes]) -> dict[str, Any] | None:
    said.seek(0)
    try:
        answer = json.loads(said.read())
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started, if it still runs."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _end_text(code: int, when: str = "") -> str:
    if code >= 0:
        return f"ended with code {code}{when}"
    try:
        return f"crashed: {signal.Signals(-code).name}"
    except ValueError:
        return f"crashed: signal {-code}"


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f" ({lines[-1][-_WORDS:]})" if lines else ""
