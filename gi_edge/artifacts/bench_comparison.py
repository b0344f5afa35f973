"""Bench results side by side: how much slower or faster, whose verdict got worse, and what else differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from gi_edge.artifacts.bench_differences import (
    EnvironmentDifference,
    class_differences,
    environment_differences,
    settings_differences,
)
from gi_edge.artifacts.bench_pairs import Named, paired_models, paired_speeds
from gi_edge.artifacts.results import BenchResult, ModelRun, speaking_verdict
from gi_edge.artifacts.speed import Region, Scenario, SpeedRun
from gi_edge.config import Value
from gi_edge.errors import DataError
from gi_edge.metrics.latency_ratio import LatencyRatio, Outcome, latency_ratio, outcome_of
from gi_edge.metrics.verdict import Status

_RANK: dict[Status, int] = {"pass": 0, "undecided": 1, "fail": 2}
Source = Literal["here", "export"]
"""Whose word a verdict is: this run's, or the bundle's where the run computed in another precision."""


class ComparedRun(Value):
    """One result of a comparison."""

    name: str
    """As it was given."""
    created: str
    gi_edge_version: str
    device: str
    """Processor or GPU in words."""
    marks: tuple[str, ...]
    """Why its times are to be doubted."""


class SpeedPair(Value):
    """One scenario of one model, in the first result and in another."""

    model: str
    """Bundle and precision; the backends too, where they differ or the result has the model on several."""
    run: str
    """Name of the other result."""
    backends: tuple[str, str]
    scenario: Scenario
    region: Region
    batch_sizes: tuple[int, int]
    """They differ where both runs looked for the best: then the times are per image."""
    streams: int
    frame_rate: float | None
    p50_ms: tuple[float, float]
    images_per_second: tuple[float, float]
    missed: tuple[float, float] | None
    """Shares of frames that missed their deadline, of a paced scenario."""
    ratio: LatencyRatio
    """The other's median over the first's."""
    outcome: Outcome
    """slower: by more than may be, at the lower bound of the interval."""


class VerdictPair(Value):
    """What was found of one model's answers, in the first result and in another."""

    model: str
    run: str
    statuses: tuple[Status | None, Status | None]
    """None where answers were not compared with the truth."""
    sources: tuple[Source | None, Source | None]
    is_same_file: bool
    is_worse: bool
    reasons: tuple[str, ...] = ()
    """Why it is worse."""


class BenchComparison(Value):
    """Bench results against the first of them."""

    schema_version: Literal[1] = 1
    kind: Literal["bench-comparison"] = "bench-comparison"
    max_regression: float | None
    """Largest slowdown that is accepted, 0.05 for 5 %; None: none was asked for, and outcomes are for 0."""
    runs: tuple[ComparedRun, ...]
    differences: tuple[EnvironmentDifference, ...]
    speeds: tuple[SpeedPair, ...]
    verdicts: tuple[VerdictPair, ...]
    unpaired: tuple[str, ...]
    """Models and scenarios that a result has alone."""
    not_compared: tuple[str, ...]
    """What the first result shows and another does not, one clause each: no regression can be seen in it."""

    @property
    def regressions(self) -> tuple[str, ...]:
        """Everything that got worse, one clause each."""
        slower = tuple(
            f"{pair.model} {scenario_words(pair)} in {pair.run} is {pair.ratio.ratio - 1:.1%} slower "
            f"(95 % interval {pair.ratio.low - 1:+.1%} to {pair.ratio.high - 1:+.1%})"
            for pair in self.speeds
            if pair.outcome == "slower" and pair.ratio.low is not None and pair.ratio.high is not None
        )
        worse = tuple(
            f"{pair.model} in {pair.run} answers worse: {'; '.join(pair.reasons)}"
            for pair in self.verdicts
            if pair.is_worse
        )
        return (*worse, *slower)


def scenario_words(pair: SpeedPair) -> str:
    """Return a scenario in a few words, such as "offline host, batch 8"."""
    size, other = pair.batch_sizes
    batch = f"best batch {size} → {other}, per image" if size != other else f"batch {size}" if size > 1 else ""
    return _words((pair.scenario, pair.region), batch, pair.streams, pair.frame_rate)


def _run_words(run: SpeedRun) -> str:
    batch = f"batch {run.batch_size}" if run.batch_size > 1 else ""
    return _words((run.scenario, run.region), batch, run.streams, run.deadlines.frame_rate if run.deadlines else None)


def _words(what: tuple[Scenario, Region], batch: str, streams: int, frame_rate: float | None) -> str:
    more = [batch] if batch else []
    more += [f"{streams} streams"] if streams > 1 else []
    more += [f"{frame_rate:g} per second"] if frame_rate else []
    return ", ".join((" ".join(what), *more))


def comparison_of_results(
    results: Sequence[BenchResult], names: Sequence[str], max_regression: float | None = None
) -> BenchComparison:
    """Hold every result against the first. names: of the results, in their order.

    Raises: DataError if there are fewer than two, or another has no model in common with the first.
    """
    if len(results) < 2:
        raise DataError("a comparison needs two results or more", fix="gi-edge compare A.json B.json")
    speeds: list[SpeedPair] = []
    verdicts: list[VerdictPair] = []
    unpaired: list[str] = []
    not_compared: list[str] = []
    for result, name in zip(results[1:], names[1:], strict=True):
        models, both = paired_models(results[0], result), f"{names[0]} and {name}"
        if not models.pairs:
            raise DataError(
                f"{both} have no model of one bundle and precision in common",
                fix="compare results of the same bundles",
            )
        for alone in (*models.lost, *models.gained):
            unpaired.append(f"{alone.title} ({alone.backend}) is in one of {both} only")
        not_compared += [f"{alone.title} ({alone.backend}) is not in {name}" for alone in models.lost]
        for first, second in models.pairs:
            title, timed = models.title(first, second), paired_speeds(first, second)
            verdicts.append(_verdict_pair(title, (first.model, second.model), name))
            speeds += (_speed_pair(title, (first, second), runs, name, max_regression or 0.0) for runs in timed.pairs)
            lacking = len(timed.lost) + len(timed.gained)
            if lacking:
                unpaired.append(f"{lacking} scenarios of {title} are in one of {both} only")
            not_compared += _lost_answers(title, (first, second), name)
            not_compared += [f"{title} {_run_words(run)} is not in {name}" for run in timed.lost]
    differences = (
        *class_differences(results),
        *environment_differences([result.environment for result in results]),
        *settings_differences([result.settings for result in results]),
    )
    return BenchComparison(
        max_regression=max_regression,
        runs=tuple(_compared_run(result, name) for result, name in zip(results, names, strict=True)),
        differences=differences,
        speeds=tuple(speeds),
        verdicts=tuple(verdicts),
        unpaired=tuple(unpaired),
        not_compared=tuple(not_compared),
    )


def _compared_run(result: BenchResult, name: str) -> ComparedRun:
    environment = result.environment
    device = environment.gpus[0].name if environment.gpus else environment.cpu
    return ComparedRun(
        name=name,
        created=result.created,
        gi_edge_version=result.gi_edge_version,
        device=environment.board or device,
        marks=tuple(mark.text for mark in result.marks),
    )


def _verdict_pair(title: str, models: tuple[ModelRun, ModelRun], run: str) -> VerdictPair:
    first, second = models
    before, after = (speaking_verdict(model) if model.parity else None for model in models)
    reasons: list[str] = []
    if before is not None and after is not None and _RANK[after.status] > _RANK[before.status]:
        told = after.reasons or ("no reason given",)
        reasons.append(f"{before.status} became {after.status}: {told[0]}")
    if before is None and after is not None and after.status == "fail":
        reasons.append(f"fail: {(after.reasons or ('no reason given',))[0]}")
    alike_before = all(item.is_alike for item in first.comparisons)
    unlike = [item for item in second.comparisons if not item.is_alike]
    if alike_before and unlike:
        reasons.append(f"not alike {unlike[0].against}: {unlike[0].reasons[0]}")
    return VerdictPair(
        model=title,
        run=run,
        statuses=(before.status if before else None, after.status if after else None),
        sources=(_source(first), _source(second)),
        is_same_file=first.sha256 == second.sha256,
        is_worse=bool(reasons),
        reasons=tuple(reasons),
    )


def _source(model: ModelRun) -> Source | None:
    if model.parity is None:
        return None
    return "here" if speaking_verdict(model) is model.parity.verdict else "export"


def _lost_answers(title: str, models: tuple[Named, Named], run: str) -> Iterator[str]:
    """Say what the first result shows of a model's answers and the other does not."""
    first, second = (named.model for named in models)
    if second.parity is None and first.parity is not None:
        yield f"the answers of {title} were not compared in {run}"
    elif second.parity is None and _is_on_probes(first) and not _is_on_probes(second):
        yield f"the answers of {title} were not compared on probe images in {run}"
    proves = _source(first) == "here" and speaking_verdict(first).status != "fail"
    if proves and _source(second) == "export":
        yield f"{models[1].backend} does not compute in {second.precision}, so that {run} proves nothing of {title}"


def _is_on_probes(model: ModelRun) -> bool:
    return any(item.frames == "probes" for item in model.comparisons)


def _speed_pair(
    title: str, models: tuple[Named, Named], runs: tuple[SpeedRun, SpeedRun], name: str, limit: float
) -> SpeedPair:
    ours, other = runs
    sizes = ours.batch_size, other.batch_size
    scales = (1, 1) if sizes[0] == sizes[1] else sizes
    samples = [np.array(run.samples_ms) / scale for run, scale in zip(runs, scales, strict=True)]
    ratio = latency_ratio(samples[0], samples[1])
    missed = [item.deadlines.missed / item.deadlines.frames for item in runs if item.deadlines]
    return SpeedPair(
        model=title,
        run=name,
        backends=(models[0].backend, models[1].backend),
        scenario=ours.scenario,
        region=ours.region,
        batch_sizes=sizes,
        streams=ours.streams,
        frame_rate=ours.deadlines.frame_rate if ours.deadlines else None,
        p50_ms=(ours.summary.p50_ms / scales[0], other.summary.p50_ms / scales[1]),
        images_per_second=(ours.images_per_second, other.images_per_second),
        missed=(missed[0], missed[1]) if len(missed) == 2 else None,
        ratio=ratio,
        outcome=outcome_of(ratio, limit),
    )
