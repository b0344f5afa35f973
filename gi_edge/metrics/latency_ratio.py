"""How much slower is one series of latency samples than another? Ratio of medians with a block bootstrap interval.

Samples of one run are not independent: clocks, heat and other load change over many of them. So whole stretches of
consecutive samples are drawn (circular block bootstrap: Politis and Romano 1992), as long as the series remembers.
The interval covers what varies within the runs. What varies between runs of one process to the next, such as where
memory was laid, is in neither series.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from gi_edge.config import Value

MINIMUM_COUNT = 20
"""Samples that either series needs for an interval."""
_RESAMPLES = 1000
_CHUNK = 1_000_000
"""Samples drawn at a time."""
_FEWEST_BLOCKS = 8

Floats = NDArray[np.float64]
Outcome = Literal["slower", "within", "undecided"]


class LatencyRatio(Value):
    """Median of the second series over that of the first: above 1 the second is slower."""

    ratio: float
    low: float | None
    """95 % interval; None with too few samples."""
    high: float | None
    counts: tuple[int, int]
    blocks: tuple[int, int]
    """Consecutive samples that were drawn together, of each series."""


def latency_ratio(first_ms: Floats, second_ms: Floats, seed: int = 0) -> LatencyRatio:
    """Compare two series of samples, in order, [n] and [m], in milliseconds."""
    blocks = block_length(first_ms), block_length(second_ms)
    ratio = float(np.median(second_ms) / np.median(first_ms))
    low = high = None
    if min(len(first_ms), len(second_ms)) >= MINIMUM_COUNT:
        random = np.random.default_rng(seed)
        medians = [
            _resampled_medians(series, block, random)
            for series, block in zip((first_ms, second_ms), blocks, strict=True)
        ]
        logs = np.log(np.quantile(medians[1] / medians[0], (0.025, 0.975)) / ratio)
        fewest = min(len(series) // block for series, block in zip((first_ms, second_ms), blocks, strict=True))
        low, high = (float(value) for value in ratio * np.exp(_widening(fewest) * logs))
    return LatencyRatio(ratio=ratio, low=low, high=high, counts=(len(first_ms), len(second_ms)), blocks=blocks)


def _widening(blocks: int) -> float:
    """Return by how much an interval must be wider for resting on few blocks only.

    Student's t over the normal quantile, and √(k/(k-1)) since k drawn blocks vary less than their population does.
    """
    return float(t.ppf(0.975, blocks - 1) / norm.ppf(0.975) * np.sqrt(blocks / (blocks - 1)))


def outcome_of(found: LatencyRatio, limit: float) -> Outcome:
    """Judge a ratio: slower if all of its interval lies above 1 + limit, within if none does, else undecided."""
    if found.low is None or found.high is None:
        return "undecided"
    if found.low > 1 + limit:
        return "slower"
    return "within" if found.high <= 1 + limit else "undecided"


def block_length(samples: Floats) -> int:
    """Return how many consecutive samples [n] are drawn together.

    At least the cube root of n; else three times the lag at which the autocorrelation of the samples' ranks is first
    lost in its noise, 2/√n. Ranks, since one late sample in a thousand would drown the rest. Eight blocks at least
    remain.
    """
    n = len(samples)
    centred = np.argsort(np.argsort(samples, kind="stable"), kind="stable") - (n - 1) / 2
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    correlation = np.fft.irfft(power)[:n]
    if correlation[0] <= 0:
        return 1
    below = np.flatnonzero(correlation / correlation[0] < 2 / np.sqrt(n))
    memory = int(below[0]) if len(below) else n
    least = int(np.ceil(n ** (1 / 3)))
    return max(1, min(max(least, 3 * memory), n // _FEWEST_BLOCKS))


def _resampled_medians(samples: Floats, block: int, random: np.random.Generator) -> Floats:
    """Return the medians of resamples of blocks, which may run over the end to the start."""
    n = len(samples)
    blocks = -(-n // block)
    step = max(1, _CHUNK // n)
    found = []
    for at in range(0, _RESAMPLES, step):
        starts = random.integers(0, n, (min(step, _RESAMPLES - at), blocks, 1))
        rows = ((starts + np.arange(block)) % n).reshape(len(starts), -1)[:, :n]
        found.append(np.median(samples[rows], axis=1))
    return np.concatenate(found)
