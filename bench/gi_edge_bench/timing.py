"""Loops of timed calls: warm-up until steady, one call after another, several callers, frames at a fixed rate."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gi_edge.artifacts.speed import WarmUp
from gi_edge_bench.calls import Calls

_MINIMUM_WARMUP = 3
_STEADY_COUNT = 8
"""Calls that a comparison of medians needs."""
_STEADY_WITHIN = 0.05
_SPIN_SECONDS = 0.002
"""Sleep ends late by up to a millisecond or so; the last stretch before a frame arrives is spent awake."""


@dataclass(frozen=True)
class Extent:
    """How long a loop lasts: both seconds and calls, but not beyond the limit once one call is made."""

    seconds: float
    calls: int
    limit_seconds: float

    def is_done(self, seconds: float, calls: int) -> bool:
        """Return whether a loop that has run so long may end."""
        return (seconds >= self.seconds and calls >= self.calls) or (calls > 0 and seconds >= self.limit_seconds)


@dataclass(frozen=True)
class Timed:
    """What a loop measured."""

    samples_ms: tuple[float, ...]
    """One per call that was answered, in the order of the answers."""
    seconds: float
    """Wall time of the loop."""
    skipped: int = 0
    """Frames that arrived and were never computed."""


def warm_up(calls: Calls, longest_seconds: float) -> WarmUp:
    """Make untimed calls until the last half is as fast as the half before, in their medians within 5 %.

    A quarter of longest_seconds is run in any case, since clocks need time to rise, and three calls at least. Of a
    model so slow that the time is up after a few calls it stays open whether it is steady.
    """
    samples: list[float] = []
    started, check_at = time.perf_counter(), longest_seconds / 4
    while True:
        samples.append(calls.run(len(samples)))
        seconds = time.perf_counter() - started
        if len(samples) < _MINIMUM_WARMUP:
            continue
        if seconds >= check_at:
            is_steady = _is_steady(samples)
            if is_steady or seconds >= longest_seconds:
                return WarmUp(count=len(samples), seconds=seconds, is_steady=is_steady)
            check_at = min(longest_seconds, 1.5 * max(check_at, seconds))


def _is_steady(samples: list[float]) -> bool | None:
    if len(samples) < _STEADY_COUNT:
        return None
    half = len(samples) // 2
    before, after = float(np.median(samples[-2 * half : -half])), float(np.median(samples[-half:]))
    return abs(after - before) <= _STEADY_WITHIN * before


def one_after_another(calls: Calls, extent: Extent) -> Timed:
    """Make calls back to back."""
    samples: list[float] = []
    started = time.perf_counter()
    while True:
        samples.append(calls.run(len(samples)))
        seconds = time.perf_counter() - started
        if extent.is_done(seconds, len(samples)):
            return Timed(tuple(samples), seconds)


def several_at_once(calls: Calls, streams: int, extent: Extent) -> Timed:
    """Let so many threads make calls back to back; extent counts the calls of all. A call that fails fails the loop."""
    started = time.perf_counter()
    ended: list[tuple[float, float]] = []  # appending is atomic

    def work(stream: int) -> None:
        number = stream
        while not extent.is_done(time.perf_counter() - started, len(ended)):
            sample = calls.run(number)
            ended.append((time.perf_counter() - started, sample))
            number += streams

    with ThreadPoolExecutor(streams) as pool:
        for job in [pool.submit(work, stream) for stream in range(streams)]:
            job.result()
    ended.sort()
    return Timed(tuple(sample for _, sample in ended), ended[-1][0])


def at_fixed_rate(calls: Calls, frame_rate: float, extent: Extent) -> Timed:
    """Answer frames that arrive at a rate, whether or not the ones before are done (open loop).

    One frame may wait. When the next arrives it takes its place, and the older is skipped: a scope shows the newest
    picture. Samples run from a frame's arrival to its answer.
    """
    interval = 1 / frame_rate
    frames = max(round(extent.seconds * frame_rate), extent.calls)
    frames = max(1, min(frames, int(extent.limit_seconds * frame_rate)))
    samples: list[float] = []
    skipped, next_frame = 0, 0
    started = time.perf_counter()
    while next_frame < frames:
        arrived = int((time.perf_counter() - started) / interval) + 1
        newest = min(arrived, frames) - 1
        if newest < next_frame:
            _wait_until(started + next_frame * interval)
            newest = next_frame
        skipped += newest - next_frame
        calls.run(newest)
        samples.append((time.perf_counter() - started - newest * interval) * 1e3)
        next_frame = newest + 1
    return Timed(tuple(samples), time.perf_counter() - started, skipped)


def _wait_until(moment: float) -> None:
    pause = moment - time.perf_counter() - _SPIN_SECONDS
    if pause > 0:
        time.sleep(pause)
    while time.perf_counter() < moment:
        pass
