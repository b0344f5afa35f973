"""The speed pass: batches of one size, one after another, from host memory to host memory."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.speed import SpeedRun, WarmUp
from gi_edge.metrics.latency import latency_summary
from gi_edge.runtime.session import Session
from gi_edge_bench.config import BenchSettings

_MINIMUM_WARMUP = 3


def time_session(
    session: Session, pixels: NDArray[np.uint8], batch_size: int, settings: BenchSettings, note: str = ""
) -> SpeedRun:
    """Time batches of batch_size, made by repeating pixels [n, size, size, 3]. note: what else to say.

    The batches are laid out beforehand and differ from one another, so that no sample is answered from a cache.
    """
    batches = _batches(pixels, batch_size)
    before_s = time.perf_counter()
    warmups = _warm_up(session, batches, settings.warmup_seconds)
    warm_s = time.perf_counter() - before_s
    samples_ns: list[int] = []
    started = time.perf_counter_ns()
    while True:
        batch = batches[len(samples_ns) % len(batches)]
        before = time.perf_counter_ns()
        session.run(batch)
        after = time.perf_counter_ns()
        samples_ns.append(after - before)
        seconds = (after - started) / 1e9
        if seconds >= settings.minimum_seconds and len(samples_ns) >= settings.minimum_count:
            break
    samples_ms = np.array(samples_ns, dtype=np.float64) / 1e6
    return SpeedRun(
        scenario="single-stream" if batch_size == 1 else "offline",
        region="host",
        batch_size=batch_size,
        warm_up=WarmUp(count=warmups, seconds=warm_s, is_steady=True),
        note=note,
        summary=latency_summary(samples_ms),
        images_per_second=batch_size * len(samples_ns) / seconds,
        samples_ms=tuple(round(float(sample), 4) for sample in samples_ms),
    )


def _batches(pixels: NDArray[np.uint8], batch_size: int, count: int = 8) -> list[NDArray[np.uint8]]:
    rows = np.arange(count * batch_size) % len(pixels)
    return [np.ascontiguousarray(pixels[part]) for part in np.split(rows, count)]


def _warm_up(session: Session, batches: list[NDArray[np.uint8]], seconds: float) -> int:
    count = 0
    end = time.perf_counter() + seconds
    while count < _MINIMUM_WARMUP or time.perf_counter() < end:
        session.run(batches[count % len(batches)])
        count += 1
    return count
