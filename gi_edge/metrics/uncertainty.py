"""Intervals of scores from resampled groups, and of the difference between two models on the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gi_edge.config import Value
from gi_edge.errors import DataError, did_you_mean
from gi_edge.metrics.checks import check_groups, check_labels, check_lengths
from gi_edge.metrics.counts import OVERALL, PER_CLASS, OverallScore, scores_from_confusion
from gi_edge.metrics.ranking import RANKING
from gi_edge.metrics.resample import Bootstrap, group_indices, resampled_sums, units_from_cells

MINIMUM_UNITS = 10
"""Groups (frames where none are known) that any interval needs. A bootstrap of few groups is too narrow, and it
misses more the fewer there are (Cameron, Gelbach and Miller 2008). On simulated videos (the tests)
a 95 % interval of accuracy holds the truth in 90 % of the cases with 12 groups and in 94 % with 40."""

MINIMUM_HOLDERS = 5
"""Groups (frames) that must hold a class before its scores, or an average over classes alike, have an interval."""

_NO_SPREAD = 1e-12
"""Draws that differ by less differ by rounding only."""

Method = Literal["percentile bootstrap by group", "percentile bootstrap by frame"]
Floats = NDArray[np.float64]
_AVERAGES = ("macro_", "balanced_")
"""How the names of scores begin that count classes alike."""


class Interval(Value):
    """Percentile interval (Efron 1979) of one score, or why the data cannot decide on one."""

    low: float | None
    high: float | None
    level: float
    method: Method
    resamples: int
    """Resamples in which the score is defined; one that lacks the class has no score of it."""
    n: int
    groups: int | None
    """None where no groups are known."""
    undecided: str | None = None
    """Why there is no interval, to be shown in its place; low and high are None then."""


class Intervals(Value):
    """Intervals of all scores that depend on the confusion matrix only."""

    overall: dict[str, Interval]
    """By the names in OVERALL."""
    classes: tuple[dict[str, Interval], ...]
    """By the names in PER_CLASS, in class order."""


class Difference(Value):
    """Score of b minus score of a on the same frames: positive where b is better."""

    metric: OverallScore
    a: float
    b: float
    difference: float
    interval: Interval


class Ground(NamedTuple):
    """What intervals rest on."""

    classes: tuple[str, ...]
    n: int
    groups: int | None
    holders: NDArray[np.int64]
    """[classes]: groups (frames where none are known) that hold the class."""
    others: NDArray[np.int64]
    """[classes]: groups (frames) that hold any other class."""

    @property
    def noun(self) -> str:
        """Name of what is resampled."""
        return "frame" if self.groups is None else "group"


def ground_from_labels(truth: NDArray[np.int64], classes: tuple[str, ...], groups: Sequence[str] | None) -> Ground:
    """Count the groups that hold each class. Raises: DataError for labels or groups that do not fit."""
    check_labels(truth, len(classes), "truth")
    check_groups(groups, len(truth))
    units = group_indices(groups, len(truth))
    count = int(units.max()) + 1
    pairs = np.unique(np.column_stack([units, truth]), axis=0)
    holders = np.bincount(pairs[:, 1], minlength=len(classes))
    pure = pairs[np.bincount(pairs[:, 0])[pairs[:, 0]] == 1]
    others = count - np.bincount(pure[:, 1], minlength=len(classes))
    return Ground(classes, len(truth), None if groups is None else count, holders, others)


def undecided_reason(ground: Ground, score: str, index: int | None = None) -> str | None:
    """Say why the data cannot carry an interval of a score (of a class, by index), or None where they can.

    Averages that count classes alike (macro, balanced) need MINIMUM_HOLDERS of every class that occurs, specificity
    needs them of the other classes, and a ranking of both.
    """
    units = ground.n if ground.groups is None else ground.groups
    if units < MINIMUM_UNITS:
        return f"too few {ground.noun}s to decide: {units}, at least {MINIMUM_UNITS} are needed"
    if index is not None:
        return _class_reason(ground, score, index)
    if not score.startswith(_AVERAGES):
        return None
    rarest_first = sorted(np.flatnonzero(ground.holders), key=lambda i: int(ground.holders[i]))
    reasons = (_class_reason(ground, score.removeprefix("macro_"), int(i)) for i in rarest_first)
    return next(filter(None, reasons), None)


def _class_reason(ground: Ground, score: str, index: int) -> str | None:
    label = ground.classes[index]
    held = _too_few(ground, int(ground.holders[index]), label)
    others_held = _too_few(ground, int(ground.others[index]), f"any class but {label}")
    if score == "specificity":
        return others_held
    return held or (others_held if score in RANKING else None)


def _too_few(ground: Ground, holders: int, what: str) -> str | None:
    if not holders:
        return f"no frame of {what}"
    if holders < MINIMUM_HOLDERS:
        hold = f"{holders} {ground.noun}s hold" if holders > 1 else f"1 {ground.noun} holds"
        return f"too few {ground.noun}s to decide: {hold} {what}, at least {MINIMUM_HOLDERS} are needed"
    return None


def interval_from_draws(draws: Floats, ground: Ground, level: float, undecided: str | None) -> Interval:
    """Return the central interval of draws [resamples] at a level, NaN left out; with a reason, only the reason."""
    defined = draws[np.isfinite(draws)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if undecided is None else (None, None)
    return Interval(
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        level=level,
        method="percentile bootstrap by frame" if ground.groups is None else "percentile bootstrap by group",
        resamples=len(defined),
        n=ground.n,
        groups=ground.groups,
        undecided=undecided,
    )


def score_interval(draws: Floats, ground: Ground, level: float, score: str, index: int | None = None) -> Interval:
    """Return the interval of a score (of a class, by index) from its draws [resamples].

    Undecided too where all draws are one value, such as 1 without any mistake: mistakes that were never seen cannot
    be resampled, and an interval without width would claim certainty.
    """
    reason = undecided_reason(ground, score, index)
    defined = draws[np.isfinite(draws)]
    if reason is None and np.ptp(defined) < _NO_SPREAD:
        reason = f"no spread to decide by: {score} is {defined[0]:g} in every resample"
    return interval_from_draws(draws, ground, level, reason)


def draws_from_answers(
    truth: NDArray[np.int64],
    answer: NDArray[np.int64],
    classes: int,
    groups: Sequence[str] | None,
    bootstrap: Bootstrap,
) -> dict[str, Floats]:
    """Return OVERALL as arrays [resamples] and PER_CLASS as arrays [resamples, classes]."""
    units = units_from_cells((truth * classes + answer)[:, None], classes**2, groups)
    chunks = [
        scores_from_confusion(sums.reshape(-1, classes, classes))
        for sums in resampled_sums(units, bootstrap.resamples, bootstrap.seed)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in (*OVERALL, *PER_CLASS)}


def intervals_from_predictions(
    truth: NDArray[np.int64],
    answer: NDArray[np.int64],
    classes: tuple[str, ...],
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Intervals:
    """Return the intervals of answers [n] against truth [n], both class indices, from resampled groups [n].

    Without groups frames are resampled. A class that a resample lacks counts in no average of that resample.
    Raises: DataError for labels, answers or groups that do not fit.
    """
    bootstrap = bootstrap or Bootstrap()
    ground = ground_from_labels(truth, classes, groups)
    check_lengths(len(truth), answer=answer)
    check_labels(answer, len(classes), "answer")
    draws = draws_from_answers(truth, answer, len(classes), groups, bootstrap)
    level = bootstrap.level
    return Intervals(
        overall={name: score_interval(draws[name], ground, level, name) for name in OVERALL},
        classes=tuple(
            {name: score_interval(draws[name][:, i], ground, level, name, i) for name in PER_CLASS}
            for i in range(len(classes))
        ),
    )


def difference_interval(
    truth: NDArray[np.int64],
    answer_a: NDArray[np.int64],
    answer_b: NDArray[np.int64],
    metric: OverallScore = "macro_f1",
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Difference:
    """Return the paired difference b − a of a score: both models are scored on the same resamples.

    truth, answer_a and answer_b are class indices [n]. For equal answers the interval is 0 to 0; what may have
    escaped is then bounded by parity.flip_rate_upper95. Raises: DataError for arrays or a metric that do not fit.
    """
    if metric not in OVERALL:
        raise DataError(f"metric '{metric}' is not known", fix=did_you_mean(metric, OVERALL))
    bootstrap = bootstrap or Bootstrap()
    check_lengths(len(truth), answer_a=answer_a, answer_b=answer_b)
    classes = 1 + int(max((values.max() for values in (truth, answer_a, answer_b) if values.size), default=0))
    ground = ground_from_labels(truth, tuple(f"class {i}" for i in range(classes)), groups)
    check_labels(answer_a, classes, "answer_a")
    check_labels(answer_b, classes, "answer_b")
    cells = np.column_stack([truth * classes + answer_a, classes**2 + truth * classes + answer_b])
    units = units_from_cells(cells, 2 * classes**2, groups)
    (a, b), *_ = _paired_scores((units.copies @ units.tables)[None], classes, metric)
    draws = np.concatenate(
        [_paired_scores(sums, classes, metric) for sums in resampled_sums(units, bootstrap.resamples, bootstrap.seed)]
    )
    reason = undecided_reason(ground, metric)
    interval = interval_from_draws(draws[:, 1] - draws[:, 0], ground, bootstrap.level, reason)
    return Difference(metric=metric, a=float(a), b=float(b), difference=float(b - a), interval=interval)


def _paired_scores(sums: Floats, classes: int, metric: OverallScore) -> Floats:
    """Return the scores [resamples, 2] of a and b from summed cells [resamples, 2 · classes²]."""
    return scores_from_confusion(sums.reshape(-1, 2, classes, classes))[metric]
