"""Intervals of the ratio of medians hold the true ratio, also where consecutive samples are alike."""

from __future__ import annotations

import numpy as np
import pytest

from gi_edge.metrics.latency_ratio import MINIMUM_COUNT, LatencyRatio, block_length, latency_ratio, outcome_of


def series(random, n, memory, median=1.0):
    """Latencies whose logarithm is an autoregressive process with this coefficient: stretches of slow and fast ones."""
    noise = random.standard_normal(n + 200)
    level = np.zeros(n + 200)
    for i in range(1, n + 200):
        level[i] = memory * level[i - 1] + noise[i]
    return median * np.exp(0.1 * np.sqrt(1 - memory**2) * level[200:])


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_intervals_hold_the_true_ratio_in_about_95_percent_also_for_samples_that_remember(memory):
    """Measured here: 95, 91 and 93 %. A bootstrap of single samples holds it in 40 % at 0.9."""
    held, trials = 0, 150
    for trial in range(trials):
        random = np.random.default_rng(trial)
        found = latency_ratio(series(random, 400, memory), series(random, 400, memory, 1.1))
        held += found.low <= 1.1 <= found.high
    assert held / trials >= 0.88


def test_blocks_are_as_long_as_the_series_remembers():
    random = np.random.default_rng(0)
    independent = [block_length(series(random, 1000, 0.0)) for _ in range(20)]
    remembering = [block_length(series(random, 1000, 0.9)) for _ in range(20)]
    assert np.median(independent) == 10  # the cube root
    assert np.median(remembering) > 40
    assert max(remembering) <= 1000 // 8
    assert block_length(np.ones(50)) == 6
    assert block_length(np.array([1.0])) == 1


def test_a_slower_run_of_equal_samples_has_its_exact_ratio():
    found = latency_ratio(np.full(100, 2.0), np.full(50, 3.0))
    assert (found.ratio, found.low, found.high, found.counts) == (1.5, 1.5, 1.5, (100, 50))


def test_few_samples_have_a_ratio_and_no_interval():
    found = latency_ratio(np.full(MINIMUM_COUNT - 1, 2.0), np.full(500, 3.0))
    assert (found.ratio, found.low, found.high) == (1.5, None, None)
    assert outcome_of(found, 0.05) == "undecided"


def test_a_rare_late_sample_moves_nothing():
    samples = 1 + 0.01 * np.random.default_rng(0).random(500)
    late = samples.copy()
    late[::100] = 900
    assert latency_ratio(samples, late).ratio == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "limit", "outcome"),
    [
        (1.06, 1.10, 0.05, "slower"),
        (1.04, 1.10, 0.05, "undecided"),
        (0.90, 1.05, 0.05, "within"),
        (0.5, 0.6, 0.0, "within"),
        (1.001, 1.1, 0.0, "slower"),
        (0.999, 1.1, 0.0, "undecided"),
    ],
)
def test_outcomes(low, high, limit, outcome):
    found = LatencyRatio(ratio=(low + high) / 2, low=low, high=high, counts=(9, 9), blocks=(1, 1))
    assert outcome_of(found, limit) == outcome


def test_equal_seeds_give_equal_intervals():
    random = np.random.default_rng(1)
    pair = series(random, 200, 0.5), series(random, 200, 0.5)
    assert latency_ratio(*pair) == latency_ratio(*pair)
    assert latency_ratio(*pair, seed=1) != latency_ratio(*pair)
