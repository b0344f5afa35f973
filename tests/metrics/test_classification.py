"""Scores against values worked out by hand and against scikit-learn's own averages."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from gi_edge.metrics.classification import classification_from_labels

CLASSES = ("a", "b", "c")


def test_scores_of_a_small_example_worked_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1])
    answer = np.array([0, 0, 0, 1, 1, 2])
    scores = classification_from_labels(truth, answer, CLASSES, majority=0)
    assert scores.n == 6
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.confusion == ((3, 1, 0), (0, 1, 1), (0, 0, 0))
    # a: precision 3/3, recall 3/4, F1 6/7; b: precision 1/2, recall 1/2, F1 1/2; c does not occur in the truth
    assert scores.macro.f1 == pytest.approx((6 / 7 + 1 / 2) / 2)
    assert scores.macro.recall == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.weighted.f1 == pytest.approx((4 * 6 / 7 + 2 * 1 / 2) / 6)
    assert scores.weighted.recall == pytest.approx(scores.accuracy)
    assert [item.support for item in scores.classes] == [4, 2, 0]


def test_the_majority_baseline_is_what_always_answering_it_scores():
    truth = np.array([0, 0, 0, 1, 1, 2])
    scores = classification_from_labels(truth, truth, CLASSES, majority=1)
    assert scores.majority_label == "b"
    assert scores.majority_accuracy == pytest.approx(2 / 6)
    assert scores.majority_macro_f1 == pytest.approx((2 * 2 / 8) / 3)
    assert (scores.accuracy, scores.macro.f1, scores.mcc) == (1.0, 1.0, 1.0)


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    truth = random.choice(3, 500, p=[0.7, 0.25, 0.05])
    answer = np.where(random.random(500) < 0.7, truth, random.integers(0, 3, 500))
    scores = classification_from_labels(truth, answer, CLASSES, majority=0)
    for average in ("macro", "weighted"):
        found = getattr(scores, average)
        expected = metrics.precision_recall_fscore_support(truth, answer, average=average)
        assert (found.precision, found.recall, found.f1) == pytest.approx(expected[:3], rel=1e-12)
    assert scores.mcc == pytest.approx(metrics.matthews_corrcoef(truth, answer), rel=1e-12)


def test_a_part_of_one_class_scores_without_a_warning():
    scores = classification_from_labels(np.array([1, 1]), np.array([1, 1]), CLASSES, majority=1)
    assert (scores.accuracy, scores.macro.f1, scores.mcc) == (1.0, 1.0, 0.0)
