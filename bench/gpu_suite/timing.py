"""Timing of one repeated call: warm-up until it is steady, then a minimum of time and of samples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from gi_edge.metrics.latency import MINIMUM_COUNT, LatencySummary, latency_summary
from gi_edge_bench.energy import Meter, Reading

_STEADY = 0.05
"""The median of the last half may be so far from that of the half before."""
_FEWEST_WARM_UPS = 6
_FEWEST_SAMPLES = 16
_LONGEST = 4.0
"""Times the seconds asked for: for the samples that a p99 needs, and for warming up."""


@dataclass(frozen=True)
class Timed:
    """Samples of one call."""

    summary: LatencySummary
    seconds: float
    """Wall time from the first sample to the last."""
    is_steady: bool
    reading: Reading = field(default_factory=Reading)
    """What was seen of the GPU meanwhile."""

    def per_second(self, items: int) -> float:
        """Return how many items a second were done, so many in each call."""
        return items * self.summary.count / self.seconds


def timed_call(call: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Return a function that runs call once, waits for its end and returns the milliseconds it took.

    On a GPU CUDA events are the clock: they span what the device does, and the gaps that the host leaves between
    kernels. On the CPU it is the host's clock.
    """
    if device.type == "cpu":

        def on_host() -> float:
            before = time.perf_counter_ns()
            call()
            return (time.perf_counter_ns() - before) / 1e6

        return on_host
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def on_device() -> float:
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return on_device


def clock_of(device: torch.device) -> str:
    """Return the clock that timed_call reads."""
    return "host" if device.type == "cpu" else "cuda events"


def time_call(once: Callable[[], float], seconds: float, *, wants_p99: bool, meter: Meter | None = None) -> Timed:
    """Warm up, then sample once for at least so many seconds and 16 samples.

    wants_p99: go on for the 662 samples of a p99, but no longer than four times the seconds. meter: watches the GPU
    while samples are taken.
    """
    is_steady = _warm_up(once, seconds)
    with (meter or Meter()).running() as reading:
        samples, took = _sampled(once, seconds, MINIMUM_COUNT["p99"] if wants_p99 else _FEWEST_SAMPLES)
    return Timed(latency_summary(np.array(samples)), took, is_steady, reading)


def _sampled(once: Callable[[], float], seconds: float, wanted: int) -> tuple[list[float], float]:
    samples: list[float] = []
    started = time.perf_counter()
    while True:
        samples.append(once())
        took = time.perf_counter() - started
        enough = len(samples) >= wanted or (took >= _LONGEST * seconds and len(samples) >= _FEWEST_SAMPLES)
        if took >= seconds and enough:
            return samples, took


def _warm_up(once: Callable[[], float], seconds: float) -> bool:
    """Run until the median has settled, or the time is up; returns whether it settled."""
    times: list[float] = []
    started, look_at = time.perf_counter(), _FEWEST_WARM_UPS
    while (took := time.perf_counter() - started) < _LONGEST * seconds or len(times) < _FEWEST_WARM_UPS:
        if took >= seconds / 4 and len(times) >= look_at:
            if is_settled(times):
                return True
            look_at = len(times) * 5 // 4 + 1  # seldom: sorting thousands of times would leave the device idle
        times.append(once())
    return is_settled(times)


def is_settled(times: list[float]) -> bool:
    """Return whether the median of the last quarter is within 5 % of the quarter before it."""
    quarter = max(len(times) // 4, 1)
    last, before = statistics.median(times[-quarter:]), statistics.median(times[-2 * quarter : -quarter])
    return abs(last - before) <= _STEADY * before
