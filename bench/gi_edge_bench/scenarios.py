"""The timed scenarios of one model: which there are, and what each one measures."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from gi_edge.artifacts.speed import Deadlines, IdleGap, Region, Scenario, SpeedRun
from gi_edge.errors import DataError, RuntimeUnavailableError
from gi_edge.metrics.latency import latency_summary
from gi_edge_bench.callers import Callers, callers_of, several_at_once, warm_up_together
from gi_edge_bench.calls import Calls, Subject, calls_of
from gi_edge_bench.config import BenchSettings
from gi_edge_bench.energy import Meter
from gi_edge_bench.timing import Extent, Timed, at_fixed_rate, one_after_another, warm_up

_TRIED_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_USUAL_BATCH = 8
_TRIAL = Extent(seconds=0.25, calls=3, limit_seconds=3.0)
_WORTH = 1.05
"""A larger batch must answer so many times the images per second to count as better; beyond it is noise."""
_PATIENCE = 3
"""Sizes in a row that gain nothing, before the search ends."""
_LONGEST_BATCH_MS = 1000.0
"""Nobody waits longer for a batch; larger ones are not tried."""
_GAPS = 10
_BACK_TO_BACK = 3


@dataclass(frozen=True)
class Plan:
    """One scenario to time."""

    scenario: Scenario
    region: Region
    batch_size: int = 1
    streams: int = 1
    frame_rate: float | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """The plan in a few words."""
        rate = f" {self.frame_rate:g}/s" if self.frame_rate else ""
        streams = f" x{self.streams}" if self.streams > 1 else ""
        batch = f", batch {self.batch_size}" if self.batch_size > 1 else ""
        return f"{self.scenario}{rate}{streams}, {self.region}{batch}"


def plans_of(settings: BenchSettings, subject: Subject) -> tuple[Plan, ...]:
    """List what to time.

    Raises: DataError if files are to be timed and there are none, if a batch is too large, or if there is nothing.
    """
    if "file" in settings.regions and not subject.paths:
        raise DataError(
            "the region file is timed on image files, and there are none", fix="--data DIR, or leave out --region file"
        )
    plans: list[Plan] = []
    for scenario in dict.fromkeys(settings.scenarios):
        for region in _regions(settings, scenario, subject):
            plans += _plans(settings, scenario, region, subject)
    if not plans:
        names = tuple(dict.fromkeys(settings.scenarios))
        verb = "is" if len(names) == 1 else "are"
        raise DataError(
            f"there is nothing to time: {' and '.join(names)} {verb} a matter of the host, not of the region device",
            fix="--region host, or --scenario single-stream",
        )
    return tuple(plans)


def _regions(settings: BenchSettings, scenario: Scenario, subject: Subject) -> tuple[Region, ...]:
    """On the device no second caller and no arrival is timed: both are a matter of the host."""
    given: tuple[Region, ...] = settings.regions or ("host",)
    if not settings.regions and scenario == "single-stream":
        given = ("host", "device", "file") if subject.paths else ("host", "device")
    if scenario in ("paced", "multi-stream"):
        return tuple(region for region in given if region != "device")
    return given


def _plans(settings: BenchSettings, scenario: Scenario, region: Region, subject: Subject) -> list[Plan]:
    if scenario == "single-stream":
        return [Plan(scenario, region)]
    if scenario == "paced":
        return [Plan(scenario, region, frame_rate=rate) for rate in settings.frame_rates]
    if scenario == "multi-stream":
        return [Plan(scenario, region, streams=streams) for streams in settings.streams]
    largest = subject.largest_batch
    too_large = [size for size in settings.batch_sizes if largest is not None and size > largest]
    if too_large:
        raise DataError(
            f"the engine takes at most {largest} frames at once, not {too_large[0]}",
            fix=f"--batch-size {largest}, or build it for more: gi-edge engine NAME --batch 1:8:{too_large[0]} --force",
        )
    if settings.batch_sizes:
        return [Plan(scenario, region, size) for size in settings.batch_sizes]
    search = best_batch_size(subject, region)
    # where the search failed at a size, the usual one may be too large too
    usual = min(_USUAL_BATCH, largest or _USUAL_BATCH, search.tried[-1] if search.failed else _USUAL_BATCH)
    sizes = dict.fromkeys((usual, search.best))
    return [Plan(scenario, region, size, note=search.note if size == search.best else "") for size in sizes]


@dataclass(frozen=True)
class BatchSearch:
    """What a search for the batch size with most images per second found."""

    best: int
    tried: tuple[int, ...]
    """Sizes that were timed, each twice the one before."""
    failed: str = ""
    """Why a larger one than these does not run here; "" if none failed."""

    @property
    def note(self) -> str:
        """What must be known of the times of the best size."""
        found = f"chosen by a short search over the batch sizes {', '.join(map(str, self.tried))}"
        return f"{found}; a larger one failed: {self.failed}" if self.failed else found


def best_batch_size(subject: Subject, region: Region) -> BatchSearch:
    """Look for the batch size with most images per second. A size above 1 for which there is no room ends the search.

    Raises: RuntimeUnavailableError if not even single frames run.
    """
    best, best_rate, worse = 1, 0.0, 0
    tried: list[int] = []
    for size in _TRIED_BATCHES:
        if worse == _PATIENCE or (subject.largest_batch is not None and size > subject.largest_batch):
            break
        try:
            with calls_of(subject, region, size) as calls:
                calls.run(0)
                timed = one_after_another(calls, _TRIAL)
        except RuntimeUnavailableError as error:
            if size == 1:
                raise
            return BatchSearch(best, tuple(tried), error.message)
        tried.append(size)
        typical_ms = float(np.median(timed.samples_ms))
        rate = size / typical_ms
        worse = 0 if rate > _WORTH * best_rate else worse + 1
        if worse == 0:
            best, best_rate = size, rate
        if typical_ms > _LONGEST_BATCH_MS:
            break
    return BatchSearch(best, tuple(tried))


def time_plan(plan: Plan, subject: Subject, settings: BenchSettings, meter: Meter) -> SpeedRun:
    """Warm up, then time one plan in the same threads."""
    with calls_of(subject, plan.region, plan.batch_size) as calls, callers_of(plan.streams) as callers:
        longest = settings.warmup_seconds
        warmed = warm_up_together(calls, callers, longest) if plan.streams > 1 else warm_up(calls, longest)
        extent = Extent(settings.minimum_seconds, -(-settings.minimum_count // plan.batch_size), settings.limit_seconds)
        with meter.running() as reading:
            timed = _loop(plan, calls, callers, extent)
    answered = plan.batch_size * len(timed.samples_ms)
    samples_ms = tuple(round(sample, 4) for sample in timed.samples_ms)
    return SpeedRun(
        scenario=plan.scenario,
        region=plan.region,
        batch_size=plan.batch_size,
        streams=plan.streams,
        clock="host" if plan.frame_rate else calls.clock,
        warm_up=warmed,
        summary=latency_summary(np.array(samples_ms, dtype=np.float64)),
        images_per_second=answered / timed.seconds,
        deadlines=_deadlines(plan.frame_rate, timed) if plan.frame_rate else None,
        energy=reading.energy(answered),
        note="; ".join(filter(None, (plan.note, subject.note))),
        samples_ms=samples_ms,
    )


def _loop(plan: Plan, calls: Calls, callers: Callers, extent: Extent) -> Timed:
    if plan.frame_rate is not None:
        return at_fixed_rate(calls, plan.frame_rate, extent)
    if plan.streams > 1:
        return several_at_once(calls, callers, extent)
    return one_after_another(calls, extent)


def _deadlines(frame_rate: float, timed: Timed) -> Deadlines:
    deadline_ms = 1000 / frame_rate
    late = sum(sample > deadline_ms for sample in timed.samples_ms)
    return Deadlines(
        frame_rate=frame_rate,
        deadline_ms=deadline_ms,
        frames=len(timed.samples_ms) + timed.skipped,
        missed=late + timed.skipped,
    )


def idle_gap_of(subject: Subject, gap_ms: float) -> IdleGap | None:
    """Time single frames after a pause, and right after these some without; None for no pause.

    The two take turns, so that a drift of the machine meets both.
    """
    if gap_ms == 0:
        return None
    paused: list[float] = []
    hurried: list[float] = []
    with calls_of(subject, "host", 1) as calls:
        warm_up(calls, 0.0)
        for gap in range(_GAPS):
            number = gap * (_BACK_TO_BACK + 1)
            time.sleep(gap_ms / 1e3)
            paused.append(calls.run(number))
            hurried += [calls.run(number + place) for place in range(1, _BACK_TO_BACK + 1)]
    return IdleGap(
        gap_ms=gap_ms,
        count=len(paused),
        p50_ms=float(np.median(paused)),
        back_to_back_p50_ms=float(np.median(hurried)),
    )
