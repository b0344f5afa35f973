"""Temperatures that are known beforehand, and the parts that have none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from gi_edge.errors import DataError
from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.temperature import BOUNDS, calibration_from_logits


def drawn(temperature, n=4000, classes=5, seed=0):
    """Logits whose truth is drawn from their softmax at a temperature: that temperature is the right one."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (n, classes)).astype(np.float32)
    probabilities = scipy_softmax(logits / temperature, axis=1)
    truth = (random.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return logits, truth.astype(np.int64)


def nll(logits, truth, temperature):
    return -log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(len(truth)), truth].mean()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered_and_lies_in_its_interval(temperature):
    found = calibration_from_logits(*drawn(temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.low < temperature < found.high < 1.2 * found.low
    assert (found.n, found.note) == (4000, "")


def test_the_interval_covers_the_truth_as_often_as_it_says():
    found = [calibration_from_logits(*drawn(2.0, n=150, seed=seed)) for seed in range(200)]
    covered = np.mean([item.low <= 2.0 <= item.high for item in found])
    assert 0.91 <= covered <= 0.99  # 200 draws at 0.95 lie within this with a probability of 0.99


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_has_a_smaller_loss(seed):
    logits, truth = drawn(1.7, n=60, seed=seed)
    found = calibration_from_logits(logits, truth)
    others = np.geomspace(*BOUNDS, 400)
    assert nll(logits, truth, found.temperature) <= min(nll(logits, truth, other) for other in others) + 1e-9
    assert found.nll_after == pytest.approx(nll(logits, truth, found.temperature), abs=1e-6)
    assert found.nll_before == pytest.approx(nll(logits, truth, 1.0), abs=1e-6)
    assert found.nll_after <= found.nll_before


def test_an_overconfident_model_is_better_calibrated_afterwards_and_answers_the_same():
    logits, truth = drawn(2.5)
    found = calibration_from_logits(logits, truth)
    assert found.ece_after < 0.03 < 0.1 < found.ece_before
    before, after = softmax(logits), softmax(logits, found.temperature)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert after.max(axis=1).mean() < before.max(axis=1).mean()
    assert after == pytest.approx(scipy_softmax(logits / found.temperature, axis=1), abs=1e-5)


@pytest.mark.parametrize(("n", "expected"), [(4, 1.0), (20, 1.0), (3000, 0.385)])
def test_without_a_mistake_few_frames_sharpen_nothing_and_many_do_within_bounds(n, expected):
    """A model that is right on n frames and gives each 0.88 of probability."""
    truth = np.arange(n) % 3
    logits = (3 * np.eye(3)[truth] - 0.3 * np.eye(3)[(truth + 1) % 3]).astype(np.float32)
    found = calibration_from_logits(logits, truth)
    assert found.temperature == pytest.approx(expected, abs=0.01)
    assert found.temperature <= found.high
    assert found.low == pytest.approx(BOUNDS[0])
    assert found.nll_after <= found.nll_before
    assert "no frame of the validation part is answered wrongly" in found.note


def test_a_model_worse_than_chance_ends_at_the_upper_bound_and_is_told():
    truth = np.arange(60) % 3
    logits = (4 * np.eye(3)[(truth + 1) % 3]).astype(np.float32)
    found = calibration_from_logits(logits, truth)
    assert found.temperature == pytest.approx(BOUNDS[1])
    assert found.note == "the best fit lies beyond 10, the bound of the search"


def test_one_class_and_one_frame_have_temperature_one():
    assert calibration_from_logits(np.zeros((5, 1), np.float32), np.zeros(5, np.int64)).temperature == 1.0
    assert calibration_from_logits(np.array([[2.0, 0.0]], np.float32), np.array([0])).temperature == 1.0


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="NaN or infinity"):
        calibration_from_logits(np.array([[np.nan, 0.0]], np.float32), np.array([0]))


def test_parity_compares_the_probabilities_of_the_temperature():
    logits, _ = drawn(1.0, n=20)
    other = logits + np.random.default_rng(0).normal(0, 0.1, logits.shape).astype(np.float32)
    for temperature in (1.0, 4.0):
        expected = np.abs(scipy_softmax(logits / temperature, axis=1) - scipy_softmax(other / temperature, axis=1))
        found = parity_from_logits(logits, other, temperature)
        assert found.max_probability_error == pytest.approx(expected.max(), abs=1e-6)
