"""Loops of timed calls: warm-up until steady, one call after another, frames at a fixed rate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

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
    settling = Settling(longest_seconds)
    while settling.result is None:
        settling.add(calls.run(len(settling.samples)))
    return settling.result


@dataclass
class Settling:
    """Untimed calls, until they are steady or their time is up."""

    longest_seconds: float
    callers: int = 1
    samples: list[float] = field(default_factory=list)
    result: WarmUp | None = None
    """None as long as more calls are needed."""

    def __post_init__(self) -> None:
        self._started, self._check_at = time.perf_counter(), self.longest_seconds / 4
        self._made = [0] * self.callers

    def add(self, sample_ms: float, caller: int = 0) -> None:
        """Take note of a call that one of the callers made; those after the result change nothing."""
        if self.result is not None:
            return
        self.samples.append(sample_ms)
        self._made[caller] += 1
        seconds = time.perf_counter() - self._started
        if min(self._made) < _MINIMUM_WARMUP or seconds < self._check_at:
            return
        is_steady = _is_steady(self.samples)
        if is_steady or seconds >= self.longest_seconds:
            self.result = WarmUp(count=len(self.samples), seconds=seconds, is_steady=is_steady)
        self._check_at = min(self.longest_seconds, 1.5 * max(self._check_at, seconds))


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
