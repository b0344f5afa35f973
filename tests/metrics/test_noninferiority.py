"""Bounds of losses from few changed frames: exact where they must be, and right in at least 95 % of simulated cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from gi_edge.metrics.counts import confusion_from_labels, scores_from_confusion
from gi_edge.metrics.noninferiority import (
    EVENTS_AT_ZERO,
    Most,
    change_correlation,
    design_effect,
    flip_costs,
    intraclass_correlation,
    loss_bounds,
)

LEVEL = 0.95


def costs(harms, gains=0, n=1000):
    return np.concatenate([np.full(harms, 1 / n), np.full(gains, -1 / n)])


def draw(random, n, weights, harm):
    """Truth, right answers of 90 %, and answers after harm [classes], the chance to lose a right one."""
    size = len(weights)
    truth = random.choice(size, n, p=np.array(weights) / sum(weights))
    before = np.where(random.random(n) < 0.9, truth, (truth + random.integers(1, size, n)) % size)
    lost = (before == truth) & (random.random(n) < np.array(harm)[truth])
    return truth, before, np.where(lost, (truth + 1) % size, before)


def macro_f1(truth, answer, classes):
    return float(scores_from_confusion(confusion_from_labels(truth, answer, classes))["macro_f1"])


def test_no_change_is_three_events_and_not_none():
    assert loss_bounds(costs(0), Most(1 / 1000, 1.0), 1.0, LEVEL).upper == pytest.approx(2.9957 / 1000, rel=1e-4)


@pytest.mark.parametrize("harms", [1, 2, 7, 30])
def test_equal_costs_give_the_exact_poisson_bounds(harms):
    """Garwood 1936: half a chi-square quantile of 2k + 2 (upper) or 2k (lower) degrees of freedom."""
    bounds = loss_bounds(costs(harms), Most(1 / 1000, 1.0), 1.0, LEVEL)
    assert bounds.upper == pytest.approx(chi2.ppf(0.95, 2 * harms + 2) / 2000, rel=1e-6)
    lower = chi2.ppf(0.05, 2 * harms) / 2000
    unseen_gain = EVENTS_AT_ZERO / 1000
    assert bounds.lower == pytest.approx(harms / 1000 - np.hypot(harms / 1000 - lower, unseen_gain), rel=1e-6)


def test_what_the_reference_has_right_cannot_be_gained():
    """Three of three frames lost: no gain can make up for it, and the loss is proven."""
    lost = np.full(3, 1 / 3)
    assert loss_bounds(lost, Most(1 / 3, gain=0.0), 1.0, LEVEL).lower == pytest.approx(chi2.ppf(0.05, 6) / 6)
    assert loss_bounds(lost, Most(1 / 3, gain=1.0), 1.0, LEVEL).lower < 0


def test_a_design_effect_counts_frames_as_fewer():
    assert loss_bounds(costs(0), Most(1 / 1000, 1.0), 4.0, LEVEL).upper == pytest.approx(4 * EVENTS_AT_ZERO / 1000)
    four_in_one = loss_bounds(costs(8), Most(1 / 1000, 1.0), 4.0, LEVEL)
    assert four_in_one.upper == pytest.approx(loss_bounds(costs(2, n=250), Most(1 / 250, 1.0), 1.0, LEVEL).upper)


def test_the_cost_of_one_changed_frame_is_what_macro_f1_loses():
    random = np.random.default_rng(0)
    truth, before, _ = draw(random, 300, [5, 3, 2, 1], [0] * 4)
    table = flip_costs(confusion_from_labels(truth, before, 4))
    start = macro_f1(truth, before, 4)
    worst, at = 0.0, 0
    for row in range(300):
        for answer in range(4):
            after = before.copy()
            after[row] = answer
            expected = start - macro_f1(truth, after, 4)
            assert table.of(truth, before, after)[row] == pytest.approx(expected, abs=1e-12)
            worst, at = max((worst, at), (expected, int(truth[row])))
    assert table.costliest()[1] == pytest.approx(worst, abs=1e-12)
    assert table.costliest()[0] == at


def test_classes_without_frames_or_right_answers_cost_nothing():
    none_right = flip_costs(np.array([[0, 5, 0], [5, 0, 0], [0, 0, 0]]))
    assert none_right.costliest()[1] == 0.0
    assert loss_bounds(np.zeros(10), Most(0.0, 0.0), 1.0, LEVEL).upper == 0.0


@pytest.mark.parametrize(("n", "harm", "gain"), [(300, 0.01, 0.0), (1500, 0.015, 0.005), (5000, 0.01, 0.0)])
def test_a_true_loss_at_the_margin_passes_in_at_most_five_percent(n, harm, gain):
    """One point of sensitivity is lost in truth, with and without gains elsewhere; the margin is one point."""
    random = np.random.default_rng(1)
    trials = 1000
    passed = 0
    for _ in range(trials):
        lost = random.binomial(n, harm)
        won = random.binomial(n, gain)
        passed += loss_bounds(costs(lost, won, n), Most(1 / n, 1.0), 1.0, LEVEL).upper < 0.01
    assert passed / trials <= 0.055  # 0.05 and what 1,000 trials scatter


@pytest.mark.parametrize(
    ("n", "weights", "harm"),
    [
        (1000, [60, 20, 10, 7, 3], [0, 0, 0, 0, 0.055]),  # all in the rarest class
        (2000, [1, 1, 1, 1, 1], [0.006] * 5),
        (700, [1, 1], [0.012, 0.0]),
    ],
)
def test_macro_f1_beyond_the_margin_passes_in_at_most_five_percent(n, weights, harm):
    random = np.random.default_rng(2)
    size = len(weights)
    truth, before, after = draw(random, 1_000_000, weights, harm)
    assert macro_f1(truth, before, size) - macro_f1(truth, after, size) > 0.005
    passed = 0
    for _ in range(200):
        truth, before, after = draw(random, n, weights, harm)
        table = flip_costs(confusion_from_labels(truth, before, size))
        passed += loss_bounds(table.of(truth, before, after), Most(table.costliest()[1], 1.0), 1.0, LEVEL).upper < 0.005
    assert passed / 200 <= 0.05


def test_intraclass_correlation_is_one_for_whole_groups_and_none_for_chance():
    units = np.repeat(np.arange(50), 8)
    assert intraclass_correlation(np.isin(units, [3, 17, 40]), units) == pytest.approx(1.0)
    chance = np.random.default_rng(3).random(400) < 0.1
    assert intraclass_correlation(chance, units) < 0.05
    assert intraclass_correlation(np.zeros(400, dtype=bool), units) == 0.0
    assert intraclass_correlation(chance, np.arange(400)) == 0.0


def test_design_effect_is_that_of_kish():
    groups = ["a"] * 8 + ["b"] * 8
    assert design_effect(0.5, groups) == pytest.approx(1 + 0.5 * 7)
    assert design_effect(1.0, ["a"] * 6 + ["b"] * 2) == pytest.approx(1 + (36 + 4) / 8 - 1)
    assert design_effect(0.7, None) == design_effect(0.7, list("abcd")) == 1.0


def test_an_engine_that_fails_whole_videos_seldom_passes_for_want_of_independent_frames():
    """Of 40 videos with 10 frames each, 1.5 % of the videos change whole. Frame by frame 400 frames without a change
    would pass in about half of the trials (0.985 to the power 40); the leads of the others tell how alike they are."""
    random = np.random.default_rng(4)
    groups = [f"video {i // 10}" for i in range(400)]
    naive = passed = 0
    for _ in range(300):
        video = random.normal(3, 1, 40).clip(0.05)
        video[random.random(40) < 0.015] = -1.0
        lead = np.repeat(video, 10) + random.normal(0, 0.02, 400)
        found = costs(int((lead < 0).sum()), n=400)
        effect = design_effect(change_correlation(lead, groups), groups)
        naive += loss_bounds(found, Most(1 / 400, 1.0), 1.0, LEVEL).upper < 0.01
        passed += loss_bounds(found, Most(1 / 400, 1.0), effect, LEVEL).upper < 0.01
    assert naive / 300 > 0.4
    assert passed / 300 <= 0.05
