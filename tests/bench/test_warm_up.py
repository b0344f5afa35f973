"""Warm-up: of one caller and of several, each in the thread that is timed."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import numpy as np
import pytest
from benches import QUICK, Fake, calls_lasting, subject_of

from gi_edge_bench.callers import callers_of, several_at_once, warm_up_together
from gi_edge_bench.calls import Calls
from gi_edge_bench.energy import Meter
from gi_edge_bench.scenarios import Plan, time_plan
from gi_edge_bench.timing import Extent, warm_up


def extent(seconds=0.05, calls=5, limit=5.0):
    return Extent(seconds, calls, limit)


def test_a_warm_up_ends_when_it_is_steady_and_not_before_a_quarter_of_its_time():
    warmed = warm_up(calls_lasting(0.005)[0], 2.0)
    assert warmed.is_steady
    assert 0.5 <= warmed.seconds < 1.9


def test_a_warm_up_waits_for_slow_first_calls_to_leave_the_medians():
    warmed = warm_up(calls_lasting(*[0.03] * 20, 0.005)[0], 4.0)
    assert warmed.is_steady
    assert warmed.count > 40


def test_a_warm_up_that_never_settles_ends_at_its_limit_and_says_so():
    growing = [0.002 * 1.1**step for step in range(60)]
    warmed = warm_up(calls_lasting(*growing)[0], 0.4)
    assert not warmed.is_steady
    assert 0.4 <= warmed.seconds < 1.5


def test_a_warm_up_of_too_few_calls_does_not_tell_whether_it_is_steady():
    """A constant 60 ms: seven calls or fewer in 0.4 s."""
    warmed = warm_up(calls_lasting(0.06)[0], 0.4)
    assert 3 <= warmed.count < 8
    assert warmed.is_steady is None


# --- several callers


def test_several_callers_answer_at_once_and_a_failing_one_fails_the_scenario():
    calls, made = calls_lasting(0.01)
    with callers_of(4) as callers:
        timed = several_at_once(calls, callers, extent(seconds=0.2))
    assert timed.seconds >= 0.2
    assert len(timed.samples_ms) > 1.8 * timed.seconds / 0.01  # one caller alone could not
    assert len(made) == len(timed.samples_ms)

    def broken(number):
        raise RuntimeError("no more memory")

    with callers_of(2) as callers:
        with pytest.raises(RuntimeError, match="no more memory"):
            several_at_once(Calls(broken, "host"), callers, extent())
        with pytest.raises(RuntimeError, match="no more memory"):
            warm_up_together(Calls(broken, "host"), callers, 0.1)


def test_a_caller_that_fails_ends_the_calls_of_the_others():
    def run(number):
        if number == 1:
            raise RuntimeError("no more memory")
        time.sleep(0.01)
        return 10.0

    started = time.perf_counter()
    with callers_of(2) as callers:
        for loop in (
            lambda: several_at_once(Calls(run, "host"), callers, extent(seconds=9.0, limit=9.0)),
            lambda: warm_up_together(Calls(run, "host"), callers, 9.0),
        ):
            with pytest.raises(RuntimeError, match="no more memory"):
                loop()
    assert time.perf_counter() - started < 3.0


@pytest.mark.parametrize("streams", [2, 4])
def test_what_a_thread_costs_at_its_first_use_is_no_part_of_the_times(streams):
    """As a TensorRT session makes a context, a stream and buffers for one more caller at once."""
    seen = threading.local()
    threads = Counter()

    def answer(pixels):
        time.sleep(0.002 if hasattr(seen, "used") else 0.2)
        seen.used = True
        threads[threading.get_ident()] += 1
        return np.zeros((len(pixels), 2), np.float32)

    settings = QUICK.model_copy(update={"minimum_seconds": 0.2, "minimum_count": 40})
    speed = time_plan(Plan("multi-stream", "host", streams=streams), subject_of(Fake(answer)), settings, Meter())
    assert max(speed.samples_ms) < 150
    assert len(threads) == streams
    assert min(threads.values()) >= 3
    assert speed.warm_up.count >= 3 * streams
    assert sum(threads.values()) >= speed.warm_up.count + len(speed.samples_ms)


def test_whether_several_callers_are_steady_is_told_of_all_of_them():
    settings = QUICK.model_copy(update={"warmup_seconds": 0.4})
    plan = Plan("multi-stream", "host", streams=2)
    assert time_plan(plan, subject_of(Fake(seconds=0.004)), settings, Meter()).warm_up.is_steady
    made = itertools.count()

    def slower(pixels):
        time.sleep(0.002 * 1.05 ** next(made))
        return np.zeros((len(pixels), 2), np.float32)

    assert time_plan(plan, subject_of(Fake(slower)), settings, Meter()).warm_up.is_steady is False


# --- frames at a rate
