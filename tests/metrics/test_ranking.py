"""Rankings: scikit-learn's values, also with the weights of a resample."""

from __future__ import annotations

import numpy as np
import pytest
from metrics.tables import random_table
from sklearn import metrics

from gi_edge.metrics.ranking import ranked_from_scores, ranking_from_probabilities, resampled_ranking


@pytest.mark.parametrize("seed", range(5))
def test_points_are_those_of_scikit_learn_and_their_mean_is_its_macro(seed):
    table = random_table(seed, ties=seed % 2 == 1)
    found = ranking_from_probabilities(table.truth, table.probabilities)
    auroc = metrics.roc_auc_score(table.truth, table.probabilities, multi_class="ovr", average="macro")
    precision = metrics.average_precision_score(table.truth, table.probabilities, average="macro")
    assert found["auroc"].mean() == pytest.approx(auroc, rel=1e-12)
    assert found["average_precision"].mean() == pytest.approx(precision, rel=1e-12)


def test_a_class_that_is_absent_or_alone_has_no_ranking():
    truth = np.array([0, 0, 0])
    found = ranking_from_probabilities(truth, np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]))
    assert np.isnan(found["auroc"]).all()
    assert np.isnan(found["average_precision"]).all()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_resampled_values_are_those_of_scikit_learn_on_the_same_weights(seed, ties):
    table = random_table(seed, groups=12, ties=ties)
    units = np.unique(table.groups, return_inverse=True)[1]
    weights = np.random.default_rng(seed).poisson(1.0, (12, 20)).astype(float)
    for label in range(4):
        positive, scores = table.truth == label, table.probabilities[:, label]
        found = resampled_ranking(ranked_from_scores(positive, scores, units), weights)
        for i, weight in enumerate(weights.T):
            each = weight[units]
            if not each[positive].any():
                assert np.isnan(found["auroc"][i])
                continue
            assert found["auroc"][i] == pytest.approx(metrics.roc_auc_score(positive, scores, sample_weight=each))
            expected = metrics.average_precision_score(positive, scores, sample_weight=each)
            assert found["average_precision"][i] == pytest.approx(expected)


def test_a_resample_without_the_class_has_no_value():
    ranked = ranked_from_scores(np.array([True, False]), np.array([0.6, 0.4]), np.array([0, 1]))
    found = resampled_ranking(ranked, np.array([[1.0, 0.0, 2.0], [1.0, 2.0, 0.0]]))
    for values in found.values():
        assert values == pytest.approx([1.0, np.nan, np.nan], nan_ok=True)
