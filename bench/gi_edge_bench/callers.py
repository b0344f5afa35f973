"""Several threads that make calls at once, in their warm-up and then in the timed part."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gi_edge.artifacts.speed import WarmUp
from gi_edge_bench.calls import Calls
from gi_edge_bench.timing import Extent, Settling, Timed


@dataclass(frozen=True)
class Callers:
    """Threads that stay: what a runtime makes for a caller's first use is then no part of the times."""

    count: int
    pool: ThreadPoolExecutor


@contextmanager
def callers_of(count: int) -> Iterator[Callers]:
    """Yield so many callers; they start when they are first asked for calls."""
    with ThreadPoolExecutor(count) as pool:
        yield Callers(count, pool)


def warm_up_together(calls: Calls, callers: Callers, longest_seconds: float) -> WarmUp:
    """Make untimed calls from all threads until they are steady, as warm_up does; three from each at least."""
    settling, lock = Settling(longest_seconds, callers.count), threading.Lock()

    def call(number: int) -> None:
        sample_ms = calls.run(number)
        with lock:
            settling.add(sample_ms, number % callers.count)

    _together(callers, call, lambda: settling.result is not None)
    assert settling.result is not None  # else a call failed, which was raised
    return settling.result


def several_at_once(calls: Calls, callers: Callers, extent: Extent) -> Timed:
    """Let every thread make calls back to back; extent counts the calls of all. A call that fails fails the loop."""
    ended: list[tuple[float, float]] = []  # appending is atomic
    started = time.perf_counter()

    def call(number: int) -> None:
        sample_ms = calls.run(number)
        ended.append((time.perf_counter() - started, sample_ms))

    _together(callers, call, lambda: extent.is_done(time.perf_counter() - started, len(ended)))
    ended.sort()
    return Timed(tuple(sample for _, sample in ended), ended[-1][0])


def _together(callers: Callers, call: Callable[[int], None], is_done: Callable[[], bool]) -> None:
    """Once all threads have arrived, let each make calls with numbers of its own; the first that fails ends all."""
    arrived, failed = threading.Barrier(callers.count), threading.Event()

    def work(number: int) -> None:
        arrived.wait()  # nor can one thread take the jobs of two
        while not failed.is_set() and not is_done():
            try:
                call(number)
            except BaseException:
                failed.set()
                raise
            number += callers.count

    for job in [callers.pool.submit(work, number) for number in range(callers.count)]:
        job.result()
