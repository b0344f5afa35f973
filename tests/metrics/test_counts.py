"""Scores of confusion matrices: by hand, against scikit-learn, and many at once."""

from __future__ import annotations

import numpy as np
import pytest
from metrics.tables import random_table
from sklearn import metrics

from gi_edge.metrics.counts import OVERALL, PER_CLASS, confusion_from_labels, scores_from_confusion


def test_scores_of_a_small_example_worked_by_hand():
    confusion = confusion_from_labels(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 2]), 3)
    assert confusion.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 0]]
    scores = scores_from_confusion(confusion)
    assert set(scores) == {*OVERALL, *PER_CLASS}
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["balanced_accuracy"] == scores["macro_recall"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores["macro_f1"] == pytest.approx((6 / 7 + 1 / 2) / 2)
    assert scores["weighted_f1"] == pytest.approx((4 * 6 / 7 + 2 * 1 / 2) / 6)
    assert scores["sensitivity"] == pytest.approx([3 / 4, 1 / 2, np.nan], nan_ok=True)
    assert scores["specificity"] == pytest.approx([1, 3 / 4, 5 / 6])
    assert scores["precision"] == pytest.approx([1, 1 / 2, np.nan], nan_ok=True)
    assert scores["f1"] == pytest.approx([6 / 7, 1 / 2, np.nan], nan_ok=True)


@pytest.mark.parametrize("seed", range(25))
def test_scores_are_those_of_scikit_learn(seed):
    table = random_table(seed, n=20 + 30 * seed, classes=2 + seed % 6)
    truth, answer = table.truth, table.answer
    scores = scores_from_confusion(confusion_from_labels(truth, answer, len(table.classes)))
    expected = {
        "accuracy": metrics.accuracy_score(truth, answer),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, answer),
        "mcc": metrics.matthews_corrcoef(truth, answer),
    }
    for average in ("macro", "weighted"):
        found = metrics.precision_recall_fscore_support(truth, answer, average=average, zero_division=0.0)
        expected |= {f"{average}_{name}": found[i] for i, name in enumerate(("precision", "recall", "f1"))}
    per_class = metrics.precision_recall_fscore_support(truth, answer, average=None, zero_division=0.0)
    expected |= {name: per_class[i] for i, name in enumerate(("precision", "sensitivity", "f1"))}
    (true_negative, false_positive), _ = metrics.multilabel_confusion_matrix(truth, answer).transpose(1, 2, 0)
    expected["specificity"] = true_negative / (true_negative + false_positive)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name
    assert set(expected) == set(scores)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_absent_from_the_truth_counts_in_no_average(seed):
    table = random_table(seed, classes=5)
    truth = np.where(table.truth == 3, 0, table.truth)
    scores = scores_from_confusion(confusion_from_labels(truth, table.answer, 5))
    assert np.isnan([scores[name][3] for name in ("sensitivity", "precision", "f1")]).all()
    for average in ("macro", "weighted"):
        found = metrics.f1_score(truth, table.answer, labels=np.unique(truth), average=average)
        assert scores[f"{average}_f1"] == pytest.approx(found, rel=1e-12)


def test_many_matrices_score_as_each_alone():
    matrices = np.random.default_rng(0).poisson(2.0, (50, 4, 4))
    matrices[7, 2] = 0
    matrices[8, :, 1] = 0
    together = scores_from_confusion(matrices)
    for i, matrix in enumerate(matrices):
        for name, value in scores_from_confusion(matrix).items():
            assert together[name][i] == pytest.approx(value, rel=1e-15, nan_ok=True), (i, name)


@pytest.mark.parametrize(
    ("confusion", "accuracy", "mcc", "specificity"),
    [
        ([[5, 0], [0, 0]], 1.0, 0.0, [None, 1.0]),
        ([[5, 0], [5, 0]], 0.5, 0.0, [0.0, 1.0]),
        ([[0, 3], [2, 0]], 0.0, -1.0, [0.0, 0.0]),
        ([[3, 0], [0, 2]], 1.0, 1.0, [1.0, 1.0]),
    ],
)
def test_the_edges_of_the_scores(confusion, accuracy, mcc, specificity):
    scores = scores_from_confusion(np.array(confusion))
    assert scores["accuracy"] == accuracy
    assert scores["mcc"] == pytest.approx(mcc)
    assert [None if np.isnan(value) else value for value in scores["specificity"]] == specificity
