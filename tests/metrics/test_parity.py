"""Parity statistics and the verdicts drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics.parity import flip_rate_upper95, parity_from_logits, verdict_from_parity

REFERENCE = np.random.default_rng(0).normal(0, 3, (200, 5)).astype(np.float32)


def with_flips(count):
    logits = REFERENCE.copy()
    for row in range(count):
        logits[row, logits[row].argmin()] = logits[row].max() + 1
    return logits


def test_equal_logits_have_no_difference():
    parity = parity_from_logits(REFERENCE, REFERENCE.copy())
    assert (parity.n, parity.flips, parity.max_abs_error, parity.mean_abs_error) == (200, 0, 0.0, 0.0)


def test_flips_and_errors_are_counted():
    parity = parity_from_logits(REFERENCE, with_flips(3))
    assert parity.flips == 3
    shifted = parity_from_logits(REFERENCE, REFERENCE + np.float32(0.5))
    assert shifted.flips == 0
    assert shifted.max_abs_error == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_logit_is_a_flip_even_where_the_top_class_stays(bad):
    logits = REFERENCE.copy()
    logits[7, REFERENCE[7].argmin()] = bad
    parity = parity_from_logits(REFERENCE, logits)
    assert (parity.flips, parity.nonfinite_frames, parity.max_abs_error) == (1, 1, None)
    for precision in ("fp32", "fp16"):
        verdict = verdict_from_parity(precision, parity, "test")
        assert verdict.status == "fail"
        assert "NaN or infinity" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("flips", "n", "expected"),
    [(0, 300, 0.00994), (0, 59, 0.04950), (1, 100, 0.04656), (5, 5, 1.0)],  # 1 - 0.05^(1/n) at 0; Clopper-Pearson
)
def test_the_upper_bound_is_exact(flips, n, expected):
    assert flip_rate_upper95(flips, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("precision", "flips", "shift", "status"),
    [
        ("fp32", 0, 0.0, "pass"),
        ("fp32", 0, 9e-5, "pass"),
        ("fp32", 0, 2e-4, "fail"),
        ("fp32", 1, 0.0, "fail"),
        ("fp16", 0, 2e-2, "pass"),
        ("fp16", 1, 0.0, "fail"),  # one frame, but its probabilities are others
    ],
)
def test_verdicts(precision, flips, shift, status):
    candidate = with_flips(flips) + np.float32(shift)
    assert verdict_from_parity(precision, parity_from_logits(REFERENCE, candidate), "test").status == status


@pytest.mark.parametrize(("flips", "status"), [(2, "pass"), (3, "fail")])
def test_fp16_may_flip_one_frame_in_a_hundred_that_was_near_a_tie(flips, status):
    reference = REFERENCE.copy()
    reference[:flips, 0] = reference[:flips].max(axis=1) + np.float32(1)
    reference[:flips, 1] = reference[:flips, 0] - np.float32(0.01)
    candidate = reference.copy()
    candidate[:flips, :2] = reference[:flips, 1::-1]
    parity = parity_from_logits(reference, candidate)
    assert parity.flips == flips
    assert verdict_from_parity("fp16", parity, "test").status == status


@pytest.mark.parametrize("factor", [10.0, 0.02])
def test_other_probabilities_fail_though_every_class_stays(factor):
    parity = parity_from_logits(REFERENCE, REFERENCE * np.float32(factor))
    assert parity.flips == 0
    verdict = verdict_from_parity("fp16", parity, "test")
    assert verdict.status == "fail"
    assert "a probability is off by" in verdict.reasons[0]


def test_logits_of_other_shapes_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="equal shapes"):
        parity_from_logits(REFERENCE, REFERENCE[:, :4])
