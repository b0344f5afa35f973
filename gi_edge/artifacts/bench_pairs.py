"""Which models and timed scenarios of two bench results belong together."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from gi_edge.artifacts.results import BenchResult, BundleRun, ModelRun
from gi_edge.artifacts.speed import SpeedRun


class Named(NamedTuple):
    """A model and the bundle that it is of."""

    bundle: BundleRun
    model: ModelRun
    searches: bool
    """Whether the run looked for the best batch size itself, so that another may have found another."""

    @property
    def title(self) -> str:
        """Bundle and precision."""
        return f"{self.bundle.name} {self.model.precision}"

    @property
    def backend(self) -> str:
        """Runtime with its version, and provider."""
        return f"{self.model.runtime}, {self.model.provider}"

    @property
    def family(self) -> tuple[str, str]:
        """Runtime without its version, and provider."""
        return self.model.runtime.partition(" ")[0], self.model.provider


class PairedModels(NamedTuple):
    """Models of two results."""

    pairs: tuple[tuple[Named, Named], ...]
    lost: tuple[Named, ...]
    """Of the first alone."""
    gained: tuple[Named, ...]
    """Of the second alone."""
    repeated: frozenset[str]
    """Titles that one result has several times."""

    def title(self, first: Named, second: Named) -> str:
        """Return the title of a pair, with its backends where these differ, or others have the title too."""
        if first.backend != second.backend:
            return f"{first.title} ({first.backend} → {second.backend})"
        return f"{first.title} ({first.backend})" if first.title in self.repeated else first.title


class PairedSpeeds(NamedTuple):
    """Timed scenarios of two models."""

    pairs: tuple[tuple[SpeedRun, SpeedRun], ...]
    """Alike, but for the batch sizes where both runs looked for the best and found others."""
    lost: tuple[SpeedRun, ...]
    gained: tuple[SpeedRun, ...]


def paired_models(first: BenchResult, second: BenchResult) -> PairedModels:
    """Pair models of one bundle and precision: on the same backend, else where one is left on each side."""
    ours, theirs = _models(first), _models(second)
    counts = (Counter(named.title for named in side) for side in (ours, theirs))
    repeated = frozenset(title for count in counts for title, times in count.items() if times > 1)
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
    return PairedModels(tuple(pairs), tuple(ours), tuple(theirs), repeated)


def paired_speeds(first: Named, second: Named) -> PairedSpeeds:
    """Pair scenarios that are alike; where both looked for the best batch size, best with best in each region."""
    ours = {_key(run): run for run in first.model.speeds}
    theirs = {_key(run): run for run in second.model.speeds}
    pairs = [(run, theirs[key]) for key, run in ours.items() if key in theirs]
    lost = [run for key, run in ours.items() if key not in theirs]
    gained = [run for key, run in theirs.items() if key not in ours]
    if first.searches and second.searches:
        best, others = _best_offline(first.model), _best_offline(second.model)
        both = best.keys() & others.keys()
        pairs += [
            (run, others[region])
            for region, run in best.items()
            if region in both and run.batch_size != others[region].batch_size
        ]
        lost, gained = (
            [run for run in alone if run.scenario != "offline" or run.region not in both] for alone in (lost, gained)
        )
    return PairedSpeeds(tuple(pairs), tuple(lost), tuple(gained))


def _models(result: BenchResult) -> list[Named]:
    searches = not result.settings.get("batch_sizes", True)
    return [Named(bundle, model, searches) for bundle in result.bundles for model in bundle.models]


def _key(run: SpeedRun) -> tuple[object, ...]:
    rate = run.deadlines.frame_rate if run.deadlines else None
    return run.scenario, run.region, run.batch_size, run.streams, rate


def _best_offline(model: ModelRun) -> dict[str, SpeedRun]:
    """Return the offline run with most images per second by region."""
    runs = sorted((run for run in model.speeds if run.scenario == "offline"), key=lambda run: run.images_per_second)
    return {run.region: run for run in runs}
