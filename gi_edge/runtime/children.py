"""Run a probe in a process of its own, so that a crash or a hang of a runtime is told and not suffered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

_START = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "channel = os.dup(int(sys.argv[3])); from gi_edge.runtime.probe import main; main(sys.argv[1], channel)"
)
_WORDS = 300
"""Characters of a child's last words that are shown."""


def probed(name: str, timeout_s: float) -> dict[str, Any]:
    """Return what a probe says; {"fault": …} if it failed, crashed, or did not answer in time.

    The child imports from where this process does, whatever the current folder holds.
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
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return {"fault": f"gave no answer within {timeout_s:g} s"}
        finally:
            _end(child)
        said.seek(0)
        try:
            answer = json.loads(said.read())
        except ValueError:
            return {"fault": f"{_end_text(code)}{_last_words(errors)}"}
        return answer if isinstance(answer, dict) else {"fault": f"{_end_text(code)}{_last_words(errors)}"}


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started, if it still runs."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _end_text(code: int) -> str:
    if code >= 0:
        return f"ended with code {code} before it answered"
    try:
        return f"crashed: {signal.Signals(-code).name}"
    except ValueError:
        return f"crashed: signal {-code}"


def _last_words(errors: Any) -> str:  # noqa: ANN401
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f" ({lines[-1][-_WORDS:]})" if lines else ""
