"""Why times are to be doubted: what the machine did besides, and times that did not settle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gi_edge.artifacts.environment import Mark
from gi_edge.artifacts.results import BundleRun
from gi_edge.artifacts.speed import SpeedRun
from gi_edge.runtime.nvml import SLOWING
from gi_edge_bench.machine import CpuTimes, cpus_of_others

_OTHERS_SHARE = 0.1
"""Of the CPUs that this process may use, that other processes may keep busy."""
_LEAST_SECONDS = 0.5
"""Of a stretch; the kernel counts in hundredths of a second, too coarse for shorter ones."""
_DRIFT = 0.1
"""Between the medians of the first and the second half of a scenario's samples."""
_NAMED = 3


def marks_of(
    bundles: Sequence[BundleRun],
    others: int,
    times: Sequence[tuple[CpuTimes, CpuTimes]],
    reasons: set[str],
) -> tuple[Mark, ...]:
    """Return what casts doubt on a run.

    others: processes that models on the GPU met there. times: readings at the start and the end of each timed stretch.
    reasons: of throttling, seen while timing.
    """
    return tuple(_marks(bundles, others, times, reasons))


def _marks(
    bundles: Sequence[BundleRun],
    others: int,
    times: Sequence[tuple[CpuTimes, CpuTimes]],
    reasons: set[str],
) -> Iterator[Mark]:
    slowed = sorted(reasons & SLOWING)
    if slowed:
        yield Mark(kind="throttled", text=f"The GPU lowered its clocks while it was timed: {', '.join(slowed)}.")
    if others:
        noun = "process" if others == 1 else "processes"
        yield Mark(kind="shared gpu", text=f"{others} other {noun} computed on the GPU.")
    for text in filter(None, (_busy_text(times), _quota_text(times))):
        yield Mark(kind="busy cpu", text=text)
    unsteady = [
        f"{bundle.name} {model.precision} {speed.scenario} ({speed.region})"
        for bundle in bundles
        for model in bundle.models
        for speed in model.speeds
        if is_unsteady(speed)
    ]
    if unsteady:
        more = f" and {len(unsteady) - _NAMED} more" if len(unsteady) > _NAMED else ""
        yield Mark(kind="unsteady", text=f"Times did not settle in {', '.join(unsteady[:_NAMED])}{more}.")


def is_unsteady(speed: SpeedRun) -> bool:
    """Return whether the warm-up ended without settling, or the samples drifted by a tenth from half to half.

    Where the warm-up had too few calls to tell, the samples alone tell. Where frames are paced, each waits for its own
    time, so that only the warm-up tells.
    """
    if speed.warm_up.is_steady is False or speed.deadlines is not None:
        return speed.warm_up.is_steady is False
    half = len(speed.samples_ms) // 2
    first, second = float(np.median(speed.samples_ms[:half] or [0.0])), float(np.median(speed.samples_ms[-half:]))
    return half >= 4 and abs(second - first) > _DRIFT * first


def _busy_text(times: Sequence[tuple[CpuTimes, CpuTimes]]) -> str | None:
    """Say how much others computed in the busiest scenario, if it was much, and in how many it was."""
    told = [pair for pair in times if pair[1].wall_seconds - pair[0].wall_seconds >= _LEAST_SECONDS]
    busiest = max(told, key=lambda pair: cpus_of_others(*pair), default=None)
    if busiest is None:
        return None
    others, cpus = cpus_of_others(*busiest), busiest[0].cpus
    if others <= _OTHERS_SHARE * cpus:
        return None
    spoiled = sum(cpus_of_others(*pair) > _OTHERS_SHARE * cpus for pair in told)
    scenarios = f"{spoiled} of {len(told)} scenarios"
    allowed = f"{cpus} CPUs" if cpus > 1 else "one CPU"
    return f"Other processes kept up to {others:.1f} of the {allowed} that bench may use busy, in {scenarios}."


def _quota_text(times: Sequence[tuple[CpuTimes, CpuTimes]]) -> str | None:
    """Say in how many periods this process was held up, however many CPUs were idle."""
    held = [after.throttled_periods - before.throttled_periods for before, after in times]
    if not any(held):
        return None
    scenarios = f"{sum(map(bool, held))} of {len(held)} scenarios"
    return f"The container's CPU quota throttled {sum(held)} periods, in {scenarios}."
