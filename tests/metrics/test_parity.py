"""Parity statistics and the limits that they are held against."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics.agreement import flip_rate_upper95, parity_from_logits
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.parity import PRECISIONS, leads

REFERENCE = np.random.default_rng(0).normal(0, 3, (200, 5)).astype(np.float32)


def outcomes(precision, candidate, reference=REFERENCE):
    """Outcome by check."""
    return {check.name: check.outcome for check in limit_checks(precision, parity_from_logits(reference, candidate))}


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
    assert (parity.near_ties, parity.expected_flip_rate) == (None, None)
    assert leads(REFERENCE, logits)[7] == -np.inf
    for precision in PRECISIONS:
        first = limit_checks(precision, parity)[0]
        assert (first.outcome, first.reason) == ("fail", "1 of 200 frames gave NaN or infinity")


@pytest.mark.parametrize(
    ("flips", "n", "expected"),
    [(0, 300, 0.00994), (0, 59, 0.04950), (1, 100, 0.04656), (5, 5, 1.0)],  # 1 - 0.05^(1/n) at 0; Clopper-Pearson
)
def test_the_upper_bound_is_exact(flips, n, expected):
    assert flip_rate_upper95(flips, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("shift", "outcome"),
    [(0.0, "pass"), (9e-5, "pass"), (2e-4, "fail")],
)
def test_fp32_is_judged_by_its_numbers(shift, outcome):
    found = outcomes("fp32", REFERENCE + np.float32(shift))
    assert found["max_abs_error"] == outcome
    assert "flip_rate" not in found
    assert outcomes("fp32", with_flips(1))["max_abs_error"] == "fail"


def test_within_the_logit_error_only_near_ties_can_change():
    """Where no logit moves by more than e, frames whose first two are more than 2e apart keep their class."""
    reference = REFERENCE.copy()
    reference[:5, 0] = reference[:5].max(axis=1) + 1
    reference[:5, 1] = reference[:5, 0] - np.float32(5e-5)
    candidate = reference.copy()
    candidate[:3, :2] = reference[:3, 1::-1]
    parity = parity_from_logits(reference, candidate)
    assert (parity.flips, parity.near_ties) == (3, 5)
    assert set(outcomes("fp32", candidate, reference).values()) == {"pass"}


@pytest.mark.parametrize(("flips", "outcome"), [(2, "pass"), (3, "undecided"), (7, "fail")])
def test_fp16_may_change_one_frame_in_a_hundred(flips, outcome):
    """3 of 200 are more than 1 %, but a rate of 1 % gives as many in a third of the cases; 7 it does in one of 200."""
    reference = REFERENCE.copy()
    reference[:flips, 0] = reference[:flips].max(axis=1) + np.float32(1)
    reference[:flips, 1] = reference[:flips, 0] - np.float32(0.01)
    candidate = reference.copy()
    candidate[:flips, :2] = reference[:flips, 1::-1]
    assert parity_from_logits(reference, candidate).flips == flips
    assert outcomes("fp16", candidate, reference)["flip_rate"] == outcome


@pytest.mark.parametrize("factor", [10.0, 0.02])
def test_other_probabilities_fail_though_every_class_stays(factor):
    candidate = REFERENCE * np.float32(factor)
    assert parity_from_logits(REFERENCE, candidate).flips == 0
    assert outcomes("fp16", candidate)["max_probability_error"] == "fail"
    assert outcomes("bf16", candidate)["max_probability_error"] == "fail"


def test_the_expected_flip_rate_foresees_what_rounding_does_to_unseen_frames():
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (400_000, 4)).astype(np.float32)
    rounded = logits + random.normal(0, 0.01, logits.shape).astype(np.float32)
    seen = parity_from_logits(logits[:500], rounded[:500]).expected_flip_rate
    unseen = parity_from_logits(logits[500:], rounded[500:])
    assert seen == pytest.approx(unseen.flips / unseen.n, rel=0.35)


def test_logits_of_other_shapes_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="equal shapes"):
        parity_from_logits(REFERENCE, REFERENCE[:, :4])


def test_a_reference_that_is_not_finite_gives_no_errors_and_never_agrees():
    broken = REFERENCE.copy()
    broken[3], broken[8, 1] = np.nan, np.inf
    parity = parity_from_logits(broken, REFERENCE)
    assert (parity.nonfinite_frames, parity.flips) == (2, 2)
    assert (parity.max_abs_error, parity.mean_abs_error, parity.max_probability_error) == (None, None, None)
    assert (parity.near_ties, parity.expected_flip_rate) == (None, None)
    assert outcomes("fp32", REFERENCE, broken)["nonfinite_frames"] == "fail"
