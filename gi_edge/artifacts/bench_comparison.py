"""Bench results side by side: how much slower or faster, whose verdict got worse, and what else differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from gi_edge.artifacts.environment import Environment
from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun
from gi_edge.artifacts.speed import Region, Scenario, SpeedRun
from gi_edge.config import Value
from gi_edge.errors import DataError
from gi_edge.metrics.latency_ratio import LatencyRatio, Outcome, latency_ratio, outcome_of
from gi_edge.metrics.verdict import Status

_RANK: dict[Status, int] = {"pass": 0, "undecided": 1, "fail": 2}


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


class EnvironmentDifference(Value):
    """A fact about the machines or their software that is not the same in all results."""

    fact: str
    values: tuple[str, ...]
    """In the order of the runs; empty where one does not tell."""


class SpeedPair(Value):
    """One scenario of one model, in the first result and in another."""

    model: str
    """Bundle and precision."""
    run: str
    """Name of the other result."""
    backends: tuple[str, str]
    scenario: Scenario
    region: Region
    batch_size: int
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


class _Named(NamedTuple):
    bundle: BundleRun
    model: ModelRun

    @property
    def title(self) -> str:
        return f"{self.bundle.name} {self.model.precision}"

    @property
    def backend(self) -> str:
        return f"{self.model.runtime}, {self.model.provider}"

    @property
    def family(self) -> tuple[str, str]:
        """Runtime without its version, and provider."""
        return self.model.runtime.partition(" ")[0], self.model.provider


def scenario_words(pair: SpeedPair) -> str:
    """Return a scenario in a few words, such as "offline host, batch 8"."""
    more = [f"batch {pair.batch_size}"] if pair.batch_size > 1 else []
    more += [f"{pair.streams} streams"] if pair.streams > 1 else []
    more += [f"{pair.frame_rate:g} per second"] if pair.frame_rate else []
    return ", ".join((f"{pair.scenario} {pair.region}", *more))


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
    for result, name in zip(results[1:], names[1:], strict=True):
        pairs, alone = _paired_models(results[0], result)
        if not pairs:
            raise DataError(
                f"{names[0]} and {name} have no model of one bundle and precision in common",
                fix="compare results of the same bundles",
            )
        unpaired += [f"{title} is in one of {names[0]} and {name} only" for title in alone]
        for first, second in pairs:
            verdicts.append(_verdict_pair(first, second, name))
            speeds += _speed_pairs(first, second, name, max_regression or 0.0)
            lacking = len(set(map(_key, first.model.speeds)) ^ set(map(_key, second.model.speeds)))
            if lacking:
                unpaired.append(f"{lacking} scenarios of {first.title} are in one of {names[0]} and {name} only")
    return BenchComparison(
        max_regression=max_regression,
        runs=tuple(_compared_run(result, name) for result, name in zip(results, names, strict=True)),
        differences=tuple(environment_differences([result.environment for result in results])),
        speeds=tuple(speeds),
        verdicts=tuple(verdicts),
        unpaired=tuple(unpaired),
    )


def environment_differences(environments: Sequence[Environment]) -> Iterator[EnvironmentDifference]:
    """Yield the facts in which environments differ; loads and states of one moment are left out."""
    tables = [_facts(environment) for environment in environments]
    for fact in dict.fromkeys(name for table in tables for name in table):
        values = tuple(table.get(fact, "") for table in tables)
        if len(set(values)) > 1:
            yield EnvironmentDifference(fact=fact, values=values)


def _facts(environment: Environment) -> dict[str, str]:
    left_out = {"gpus", "packages", "thread_variables", "load_before", "load_after", "providers"}
    facts = {
        name.replace("_", " "): str(value)
        for name, value in environment.model_dump(exclude=left_out).items()
        if value not in (None, "")
    }
    for number, gpu in enumerate(environment.gpus):
        values = gpu.model_dump(exclude={"before", "after"})
        label = f"GPU {number} " if len(environment.gpus) > 1 else "GPU "
        facts |= {f"{label}{name.replace('_', ' ')}": str(value) for name, value in values.items() if value is not None}
    facts["providers"] = ", ".join(environment.providers)
    facts |= environment.packages
    return facts | environment.thread_variables


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


def _paired_models(first: BenchResult, second: BenchResult) -> tuple[list[tuple[_Named, _Named]], list[str]]:
    """Pair models of one bundle and precision: on the same backend, else where one is left on each side."""
    ours, theirs = _models(first), _models(second)
    pairs = []
    for one in list(ours):
        match = next((other for other in theirs if other.title == one.title and other.family == one.family), None)
        if match is not None:
            pairs.append((one, match))
            ours.remove(one)
            theirs.remove(match)
    for one in list(ours):
        same = [other for other in theirs if other.title == one.title]
        if len(same) == 1 and sum(other.title == one.title for other in ours) == 1:
            pairs.append((one, same[0]))
            ours.remove(one)
            theirs.remove(same[0])
    return pairs, [f"{named.title} ({named.backend})" for named in (*ours, *theirs)]


def _models(result: BenchResult) -> list[_Named]:
    return [_Named(bundle, model) for bundle in result.bundles for model in bundle.models]


def _verdict_pair(first: _Named, second: _Named, run: str) -> VerdictPair:
    before, after = first.model.parity, second.model.parity
    reasons: list[str] = []
    if before is not None and after is not None and _RANK[after.verdict.status] > _RANK[before.verdict.status]:
        told = after.verdict.reasons or ("no reason given",)
        reasons.append(f"{before.verdict.status} became {after.verdict.status}: {told[0]}")
    if before is None and after is not None and after.verdict.status == "fail":
        reasons.append(f"fail: {after.verdict.reasons[0]}")
    alike_before = all(item.is_alike for item in first.model.comparisons)
    unlike = [item for item in second.model.comparisons if not item.is_alike]
    if alike_before and unlike:
        reasons.append(f"not alike {unlike[0].against}: {unlike[0].reasons[0]}")
    return VerdictPair(
        model=first.title,
        run=run,
        statuses=(before.verdict.status if before else None, after.verdict.status if after else None),
        is_same_file=first.model.sha256 == second.model.sha256,
        is_worse=bool(reasons),
        reasons=tuple(reasons),
    )


def _key(run: SpeedRun) -> tuple[object, ...]:
    rate = run.deadlines.frame_rate if run.deadlines else None
    return run.scenario, run.region, run.batch_size, run.streams, rate


def _speed_pairs(first: _Named, second: _Named, run: str, limit: float) -> Iterator[SpeedPair]:
    theirs = {_key(speed): speed for speed in second.model.speeds}
    for ours in first.model.speeds:
        other = theirs.get(_key(ours))
        if other is None:
            continue
        ratio = latency_ratio(np.array(ours.samples_ms), np.array(other.samples_ms))
        both = (ours, other)
        missed = [item.deadlines.missed / item.deadlines.frames for item in both if item.deadlines]
        yield SpeedPair(
            model=first.title,
            run=run,
            backends=(first.backend, second.backend),
            scenario=ours.scenario,
            region=ours.region,
            batch_size=ours.batch_size,
            streams=ours.streams,
            frame_rate=ours.deadlines.frame_rate if ours.deadlines else None,
            p50_ms=(ours.summary.p50_ms, other.summary.p50_ms),
            images_per_second=(ours.images_per_second, other.images_per_second),
            missed=(missed[0], missed[1]) if len(missed) == 2 else None,
            ratio=ratio,
            outcome=outcome_of(ratio, limit),
        )
