"""All scores of one model on one part of a dataset, each with its interval and beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.calibration import (
    WIDTH,
    ReliabilityBin,
    calibration_from_sums,
    frame_sums,
    reliability_bins,
)
from gi_edge.metrics.checks import check_probabilities
from gi_edge.metrics.counts import PER_CLASS, confusion_from_labels, scores_from_confusion
from gi_edge.metrics.ranking import RANKING, ranked_from_scores, ranking_from_probabilities, resampled_ranking
from gi_edge.metrics.resample import (
    Bootstrap,
    group_indices,
    resampled_sums,
    units_from_values,
    weights_from_copies,
)
from gi_edge.metrics.uncertainty import Floats, Ground, Interval, draws_from_answers, ground_from_labels, score_interval


class Baselines(Value):
    """What rules score on the same frames that look at no pixels."""

    majority_label: str
    """The most frequent class of the training part, always answered."""
    majority_accuracy: float
    majority_macro_f1: float
    pixel_free_accuracy: float | None
    """Label of the nearest-numbered training frame of the same video; None where names carry no video and frame."""


class Context(Value):
    """What an evaluation cannot know from the predictions."""

    model: str
    part: str
    group_noun: str | None
    """What a group is, such as "video"; None where no groups are known."""
    baselines: Baselines
    bootstrap: Bootstrap = Field(default_factory=Bootstrap)


class Score(Value):
    """A score and its interval; value is None where the part does not define it."""

    value: float | None
    interval: Interval


class Overall(Value):
    """Scores of all classes together. Macro averages run over the classes that occur in the truth."""

    accuracy: Score
    balanced_accuracy: Score
    """Mean sensitivity; the same as macro_recall."""
    macro_precision: Score
    macro_recall: Score
    macro_f1: Score
    weighted_precision: Score
    weighted_recall: Score
    """Weighted by support; the same as the accuracy."""
    weighted_f1: Score
    mcc: Score
    macro_auroc: Score
    macro_average_precision: Score
    ece: Score
    brier: Score
    nll: Score


class ClassEvaluation(Value):
    """Scores of one class against the rest."""

    label: str
    support: int
    """Frames of the class."""
    groups: int | None
    """Groups that hold it; None where no groups are known."""
    sensitivity: Score
    specificity: Score
    precision: Score
    f1: Score
    auroc: Score
    average_precision: Score


class Evaluation(Value):
    """One model on one part: every number with n, groups, interval and baselines at hand."""

    model: str
    part: str
    n: int
    groups: int | None
    group_noun: str | None
    classes: tuple[str, ...]
    overall: Overall
    per_class: tuple[ClassEvaluation, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the truth, columns the answer, in class order."""
    reliability: tuple[ReliabilityBin, ...]
    baselines: Baselines
    bootstrap: Bootstrap


def evaluation_from_predictions(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    classes: tuple[str, ...],
    context: Context,
    groups: Sequence[str] | None = None,
) -> Evaluation:
    """Score probabilities [n, classes] against class indices [n]; the answer is the most probable class.

    groups [n] names the video or patient of each frame. Raises: DataError for input that does not fit.
    """
    ground = ground_from_labels(truth, classes, groups)
    check_probabilities(probabilities, len(truth), len(classes))
    answer = probabilities.argmax(axis=1)
    bootstrap = context.bootstrap
    confusion = confusion_from_labels(truth, answer, len(classes))
    points = _points(truth, probabilities, confusion)
    draws = {
        **draws_from_answers(truth, answer, len(classes), groups, bootstrap),
        **_calibration_draws(truth, probabilities, groups, bootstrap),
        **_ranking_draws(truth, probabilities, groups, bootstrap),
    }

    def score(name: str, index: int | None = None) -> Score:
        value, drawn = (points[name], draws[name]) if index is None else (points[name][index], draws[name][:, index])
        interval = score_interval(drawn, ground, bootstrap.level, name, index)
        return Score(value=float(value) if np.isfinite(value) else None, interval=interval)

    return Evaluation(
        model=context.model,
        part=context.part,
        n=ground.n,
        groups=ground.groups,
        group_noun=context.group_noun if groups is not None else None,
        classes=classes,
        overall=Overall(**{name: score(name) for name in Overall.model_fields}),
        per_class=tuple(
            ClassEvaluation(
                label=classes[i],
                support=int(confusion[i].sum()),
                groups=_holders(ground, i),
                **{name: score(name, i) for name in (*PER_CLASS, *RANKING)},
            )
            for i in range(len(classes))
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=reliability_bins(truth, probabilities),
        baselines=context.baselines,
        bootstrap=bootstrap,
    )


def _holders(ground: Ground, index: int) -> int | None:
    return None if ground.groups is None else int(ground.holders[index])


def _points(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], confusion: NDArray[np.int64]
) -> dict[str, Floats]:
    ranking = ranking_from_probabilities(truth, probabilities)
    return {
        **scores_from_confusion(confusion),
        **calibration_from_sums(frame_sums(truth, probabilities).sum(axis=0), len(truth)),
        **ranking,
        **{f"macro_{name}": _mean_of_defined(values) for name, values in ranking.items()},
    }


def _calibration_draws(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], groups: Sequence[str] | None, bootstrap: Bootstrap
) -> dict[str, Floats]:
    """Return CALIBRATION as arrays [resamples]; groups are few enough for all resamples, frames are not."""
    sums = frame_sums(truth, probabilities)
    units = units_from_values(np.column_stack([sums, np.ones(len(sums))]), groups)
    resamples = bootstrap.frame_resamples if groups is None else bootstrap.resamples
    drawn = np.concatenate(list(resampled_sums(units, resamples, bootstrap.seed)))
    return calibration_from_sums(drawn[:, :WIDTH], drawn[:, WIDTH])


def _ranking_draws(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], groups: Sequence[str] | None, bootstrap: Bootstrap
) -> dict[str, Floats]:
    """Return RANKING as arrays [resamples, classes], and the mean of both over the classes [resamples]."""
    n, classes = probabilities.shape
    units = group_indices(groups, n)
    ranked = [ranked_from_scores(truth == i, probabilities[:, i], units) for i in range(classes)]
    copies = np.ones(units.max() + 1, dtype=np.int64)
    chunks: dict[str, list[Floats]] = {name: [] for name in RANKING}
    for weights in weights_from_copies(copies, bootstrap.frame_resamples, bootstrap.seed, width=n):
        by_unit = np.ascontiguousarray(weights.T)
        by_class = [resampled_ranking(one, by_unit) for one in ranked]
        for name in RANKING:
            chunks[name].append(np.column_stack([scores[name] for scores in by_class]))
    draws = {name: np.concatenate(parts) for name, parts in chunks.items()}
    return {**draws, **{f"macro_{name}": _mean_of_defined(values) for name, values in draws.items()}}


def _mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is left."""
    defined = np.isfinite(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    mean: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return mean
