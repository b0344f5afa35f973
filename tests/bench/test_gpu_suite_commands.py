"""Commands that the GPU suite starts: what ends them."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from gpu_suite.commands import Done, run_module

SLEEP = ["-n1", "-r1", "import time; time.sleep(60)"]


def test_a_command_that_takes_too_long_is_ended(tmp_path):
    started = time.monotonic()
    done = run_module("timeit", SLEEP, tmp_path, 1.0)
    assert time.monotonic() - started < 30
    assert done.timed_out
    assert done.reason.startswith("ended after ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_kill_while_a_command_begins_ends_the_command_too(tmp_path, monkeypatch, number):
    """Between its start and the return of Popen nobody else knows of it."""
    begun, begin = [], subprocess.Popen

    def interrupted(*words, **options):
        begun.append(begin(*words, **options))
        signal.raise_signal(number)
        return begun[0]

    def interrupt(number, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = {other: signal.signal(other, interrupt) for other in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt):
            run_module("timeit", SLEEP, tmp_path, 60)
        assert [signal.getsignal(other) for other in before] == [interrupt, interrupt]
    finally:
        for other, handler in before.items():
            signal.signal(other, handler)
    assert [process.returncode for process in begun] == [-signal.SIGKILL]


def test_what_a_failed_command_said(tmp_path):
    assert run_module("timeit", ["-n1", "-r1", "pass"], tmp_path, 60).reason is None
    missing = run_module("no_such_module", [], tmp_path, 60)
    assert missing.reason.startswith("exit code 1: ")
    assert missing.reason.endswith("No module named no_such_module")
    assert Done("x", 1, "", "a\nerror: why\nafter\n", 1).reason == "exit code 1: error: why"
    assert Done("x", -11, "", "", 1).reason == "ended by signal 11: it said nothing"
