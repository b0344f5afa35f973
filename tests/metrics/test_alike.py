"""Two backends answer alike within what the precision explains, and only near ties may fall otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics.alike import unlike_reasons


def logits(n=16, gap=4.0):
    random = np.random.default_rng(0)
    found = random.normal(0, 0.3, (n, 3)).astype(np.float32)
    found[np.arange(n), random.integers(0, 3, n)] += gap
    return found


def moved(reference, size):
    return reference + np.random.default_rng(1).uniform(-size, size, reference.shape).astype(np.float32)


@pytest.mark.parametrize(
    ("precision", "size", "reason"),
    [
        ("fp32", 5e-5, None),
        ("fp32", 1e-3, "a logit is off by"),
        ("fp16", 1e-2, None),
        ("fp16", 1.0, "a probability is off by"),
        ("bf16", 0.1, None),
        ("int8", 0.5, None),
    ],
)
def test_errors_within_the_precision_are_alike(precision, size, reason):
    reference = logits()
    found = unlike_reasons(precision, reference, moved(reference, size), 1.0)
    assert found[0].startswith(reason) if reason else found == (), found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_a_wrong_session_is_never_alike(precision):
    reference = logits()
    assert unlike_reasons(precision, reference, np.roll(reference, 1, axis=1), 1.0)
    assert unlike_reasons(precision, reference, np.roll(reference, 1, axis=0), 1.0)
    assert unlike_reasons(precision, reference, np.zeros_like(reference), 1.0)
    broken = reference.copy()
    broken[3, 1] = np.nan
    assert unlike_reasons(precision, reference, broken, 1.0) == ("1 of 16 frames gave NaN or infinity",)


def test_a_near_tie_may_fall_the_other_way_and_a_clear_answer_may_not():
    reference = logits()
    reference[0] = [1.0, 0.99999, -3]
    candidate = reference.copy()
    candidate[0] = [0.99999, 1.00002, -3]
    assert unlike_reasons("fp32", reference, candidate, 1.0) == ()
    assert unlike_reasons("fp16", reference, candidate, 1.0) == ()
    clear = reference.copy()
    clear[1] = np.roll(clear[1], 1)
    assert unlike_reasons("int8", reference, clear, 1.0) == (
        "1 of 16 frames changed their class, and not for a near tie; at most 5% may",
    )


@pytest.mark.parametrize(("changed", "is_alike"), [(0, True), (1, True), (10, True), (11, False), (200, False)])
def test_int8_may_change_as_many_clear_answers_as_its_flip_rate_allows_and_no_more(changed, is_alike):
    reference = logits(n=200)
    candidate = reference.copy()
    candidate[:changed] = np.roll(candidate[:changed], 1, axis=1)
    found = unlike_reasons("int8", reference, candidate, 1.0)
    assert (found == ()) is is_alike, found
    for precision in ("fp32", "fp16", "bf16"):
        assert (unlike_reasons(precision, reference, candidate, 1.0) == ()) is (changed == 0)
    if not is_alike:
        assert found[-1] == f"{changed} of 200 frames changed their class, and not for a near tie; at most 5% may"


def test_large_logits_of_stress_images_may_err_in_proportion():
    reference = logits(gap=100.0)
    assert unlike_reasons("fp32", reference, moved(reference, 5e-4), 1.0) == ()
    assert unlike_reasons("fp32", reference, moved(reference, 5e-2), 1.0)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reference_without_finite_logits_is_named_and_no_candidate_is_like_it(precision, bad):
    whole = logits()
    some, none = whole.copy(), np.full_like(whole, bad)
    some[[2, 5], 1] = bad
    of_other = "frames of onnxruntime 1.27.0, CUDAExecutionProvider gave NaN or infinity"
    named = "onnxruntime 1.27.0, CUDAExecutionProvider"
    assert unlike_reasons(precision, some, whole, 1.0, named) == (f"2 of 16 {of_other}",)
    assert unlike_reasons(precision, none, whole, 1.0, named) == (f"16 of 16 {of_other}",)
    assert unlike_reasons(precision, none, none, 1.0, named) == (
        f"16 of 16 {of_other}",
        "16 of 16 frames gave NaN or infinity",
    )
