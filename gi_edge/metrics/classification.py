"""Scores of a classifier on labelled frames. Every average is named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from gi_edge.config import Value
from gi_edge.metrics.counts import confusion_from_labels, scores_from_confusion


class Averaged(Value):
    """Precision, recall and F1 under one average, each in 0..1."""

    precision: float
    recall: float
    f1: float


class ClassScore(Value):
    """One class against the rest. support is its number of frames."""

    label: str
    support: int
    precision: float
    recall: float
    f1: float


class Classification(Value):
    """Scores on n frames, with what a rule scores that always answers the majority class."""

    n: int
    accuracy: float
    macro: Averaged
    """Mean over the classes that occur in the truth, each counted alike."""
    weighted: Averaged
    """Mean over classes weighted by support; its recall equals the accuracy."""
    mcc: float
    """Matthews correlation coefficient, multi-class (Gorodkin 2004); 0 where one class takes all truth or answers."""
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the truth, columns the answer, in class order."""
    majority_label: str
    majority_accuracy: float
    majority_macro_f1: float


def classification_from_labels(
    truth: NDArray[np.int64], answer: NDArray[np.int64], classes: tuple[str, ...], majority: int
) -> Classification:
    """Score answers [n] against truth [n], both class indices; n must be at least 1.

    majority is the most frequent class of the training part: a baseline may not look at the test part. The
    macro average runs over the classes present in the truth, so that an absent class counts neither way.
    """
    indices = np.arange(len(classes))
    present = np.unique(truth)
    precision, recall, f1, support = precision_recall_fscore_support(truth, answer, labels=indices, zero_division=0.0)
    baseline = np.full_like(truth, majority)
    confusion = confusion_from_labels(truth, answer, len(classes))
    return Classification(
        n=len(truth),
        accuracy=float(np.mean(truth == answer)),
        macro=_averaged(truth, answer, present, "macro"),
        weighted=_averaged(truth, answer, present, "weighted"),
        mcc=float(scores_from_confusion(confusion)["mcc"]),
        classes=tuple(
            ClassScore(
                label=classes[i],
                support=int(support[i]),
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
            )
            for i in indices
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        majority_label=classes[majority],
        majority_accuracy=float(np.mean(truth == baseline)),
        majority_macro_f1=_averaged(truth, baseline, present, "macro").f1,
    )


def _averaged(truth: NDArray[np.int64], answer: NDArray[np.int64], labels: NDArray[np.int64], average: str) -> Averaged:
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, answer, labels=labels, average=average, zero_division=0.0
    )
    return Averaged(precision=float(precision), recall=float(recall), f1=float(f1))
