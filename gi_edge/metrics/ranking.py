"""How well a class's probability ranks its frames above all others, whatever the threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, roc_auc_score

RANKING = ("auroc", "average_precision")
"""One-vs-rest, per class. Average precision is the step-wise sum of scikit-learn, without interpolation."""

Floats = NDArray[np.float64]


def ranking_from_probabilities(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> dict[str, Floats]:
    """Return RANKING as arrays [classes]; NaN where the truth lacks the class, or all else."""
    classes = probabilities.shape[1]
    scores = {name: np.full(classes, np.nan) for name in RANKING}
    for i in range(classes):
        positive = truth == i
        if positive.any() and not positive.all():
            scores["auroc"][i] = roc_auc_score(positive, probabilities[:, i])
            scores["average_precision"][i] = average_precision_score(positive, probabilities[:, i])
    return scores


class Ranked(NamedTuple):
    """Frames of one class's ranking in steps, best first; a step ties with a frame of the class or lies between."""

    hits: csr_array
    """[steps, units]: frames of the class by step and by unit of resampling."""
    others: csr_array
    """[steps, units]: all other frames."""


def ranked_from_scores(positive: NDArray[np.bool_], scores: NDArray[np.floating], units: NDArray[np.int64]) -> Ranked:
    """Rank scores [n] of which some are positive [n], each in a unit [n] of resampling."""
    descending = np.sort(-scores)
    first = np.searchsorted(descending, -scores, side="left")
    past = np.searchsorted(descending, -scores, side="right")
    bounds = np.unique(np.concatenate([first[positive], past[positive]]))
    steps = np.searchsorted(bounds, first, side="right")
    shape = len(bounds) + 1, int(units.max()) + 1

    def counted(chosen: NDArray[np.bool_]) -> csr_array:
        return csr_array((np.ones(int(chosen.sum())), (steps[chosen], units[chosen])), shape=shape)

    return Ranked(counted(positive), counted(~positive))


def resampled_ranking(ranked: Ranked, weights: Floats) -> dict[str, Floats]:
    """Return RANKING as arrays [resamples], from weights [units, resamples].

    NaN where a resample lacks the class, or all else.
    """
    hits, others = ranked.hits @ weights, ranked.others @ weights
    hits_through, others_through = np.cumsum(hits, axis=0), np.cumsum(others, axis=0)
    positives, negatives = hits_through[-1], others_through[-1]
    beaten_by = others_through - others / 2
    answered = hits_through + others_through
    precision = np.divide(hits_through, answered, out=np.zeros_like(hits), where=answered > 0)
    defined = (positives > 0) & (negatives > 0)
    return {
        "auroc": 1 - (hits * beaten_by).sum(axis=0) / np.where(defined, positives * negatives, np.nan),
        "average_precision": (hits * precision).sum(axis=0) / np.where(defined, positives, np.nan),
    }
