"""Scores that depend on the confusion matrix only, for one matrix or for thousands at once."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

OverallScore = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "mcc",
]
OVERALL: tuple[OverallScore, ...] = get_args(OverallScore)
"""Scores of all classes together."""

PER_CLASS = ("sensitivity", "specificity", "precision", "f1")
"""Scores of one class against the rest."""

Floats = NDArray[np.float64]


def confusion_from_labels(truth: NDArray[np.int64], answer: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts [classes, classes] of class indices [n]; rows are the truth, columns the answer."""
    return np.bincount(truth * classes + answer, minlength=classes**2).reshape(classes, classes)


def scores_from_confusion(confusion: NDArray[np.int64] | Floats) -> dict[str, Floats]:
    """Score confusion matrices [..., C, C] of at least one frame each; rows are the truth, columns the answer.

    Returns OVERALL as arrays [...] and PER_CLASS as arrays [..., C]. A class that is absent from the truth is NaN
    in all of PER_CLASS but specificity, and counts in no average. A class that was never answered has precision 0.
    Specificity is NaN where every frame is of the class.
    """
    counts = confusion.astype(np.float64)
    total = counts.sum(axis=(-2, -1))
    support, answered = counts.sum(axis=-1), counts.sum(axis=-2)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    present = support > 0
    negatives = total[..., None] - support
    recall = _ratio(hits, support, 0.0)
    precision = _ratio(hits, answered, 0.0)
    f1 = _ratio(2 * hits, support + answered, 0.0)
    scores = {
        "accuracy": hits.sum(axis=-1) / total,
        "balanced_accuracy": _macro(recall, present),
        "mcc": _mcc(total, support, answered, hits.sum(axis=-1)),
        "sensitivity": np.where(present, recall, np.nan),
        "specificity": _ratio(negatives - (answered - hits), negatives, np.nan),
        "precision": np.where(present, precision, np.nan),
        "f1": np.where(present, f1, np.nan),
    }
    for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
        scores[f"macro_{name}"] = _macro(values, present)
        scores[f"weighted_{name}"] = (values * support).sum(axis=-1) / total
    return scores


def _ratio(above: Floats, below: Floats, otherwise: float) -> Floats:
    ratio: Floats = np.divide(above, below, out=np.full(np.shape(below), otherwise), where=below > 0)
    return ratio


def _macro(values: Floats, present: NDArray[np.bool_]) -> Floats:
    mean: Floats = (values * present).sum(axis=-1) / present.sum(axis=-1)
    return mean


def _mcc(total: Floats, support: Floats, answered: Floats, hits: Floats) -> Floats:
    """Multi-class Matthews correlation (Gorodkin 2004); 0 where one class takes all truth or all answers."""
    covariance = hits * total - (support * answered).sum(axis=-1)
    spread = (total**2 - (support**2).sum(axis=-1)) * (total**2 - (answered**2).sum(axis=-1))
    return _ratio(covariance, np.sqrt(spread), 0.0)
