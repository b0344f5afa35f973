"""Calibration scores by hand, against scikit-learn, and against the definition written as a loop."""

from __future__ import annotations

import numpy as np
import pytest
from metrics.tables import random_table
from sklearn import metrics

from gi_edge.metrics.calibration import BINS, calibration_from_sums, frame_sums, reliability_bins

TRUTH = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.0, 1.0]])


def calibration(truth, probabilities):
    return calibration_from_sums(frame_sums(truth, probabilities).sum(axis=0), len(truth))


def test_scores_of_a_small_example_worked_by_hand():
    scores = calibration(TRUTH, PROBABILITIES)
    # confidences 0.9 (right), 0.6 (wrong), 0.6 (right), 1.0 (right), in bins of width 1/15
    assert scores["ece"] == pytest.approx((abs(1 - 0.9) + abs(1 - 1.2) + 0) / 4)
    assert scores["brier"] == pytest.approx((2 * 0.1**2 + 2 * 0.6**2 + 2 * 0.4**2 + 0) / 4)
    assert scores["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.6, 1.0]).sum() / 4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_brier_and_log_loss_are_those_of_scikit_learn(seed, ties):
    table = random_table(seed, classes=2 + seed % 5, ties=ties)
    scores = calibration(table.truth, table.probabilities)
    one_hot = np.eye(len(table.classes))[table.truth]
    per_class = [metrics.brier_score_loss(one_hot[:, i], p) for i, p in enumerate(table.probabilities.T)]
    assert scores["brier"] == pytest.approx(sum(per_class), rel=1e-12)
    assert scores["nll"] == pytest.approx(metrics.log_loss(table.truth, table.probabilities), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_calibration_error_is_the_definition_and_that_of_the_bins(seed):
    table = random_table(seed)
    confidence, right = table.probabilities.max(axis=1), table.answer == table.truth
    expected = 0.0
    for i in range(BINS):
        inside = (confidence > i / BINS) & (confidence <= (i + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(table.truth, table.probabilities)["ece"] == pytest.approx(expected, rel=1e-12)
    bins = reliability_bins(table.truth, table.probabilities)
    from_bins = sum(item.count * abs(item.accuracy - item.confidence) for item in bins if item.count) / 300
    assert from_bins == pytest.approx(expected, rel=1e-12)
    assert sum(item.count for item in bins) == 300


def test_bins_hold_their_upper_edge_and_empty_ones_say_nothing():
    bins = reliability_bins(TRUTH, PROBABILITIES)
    assert [item.count for item in bins] == [0] * 8 + [2] + [0] * 4 + [1, 1]
    assert (bins[8].low, bins[8].high, bins[8].accuracy) == (8 / 15, 9 / 15, 0.5)
    assert bins[8].confidence == pytest.approx(0.6)
    assert (bins[0].accuracy, bins[0].confidence) == (None, None)


def test_a_probability_of_nothing_for_the_truth_costs_a_finite_loss():
    assert calibration(np.array([0]), np.array([[0.0, 1.0]]))["nll"] == pytest.approx(36.04365)
