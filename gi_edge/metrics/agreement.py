"""Do two implementations of one classifier give the same numbers? Pure functions on logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import Parity, finite_frames, flipped_frames, leads

_SMALL_GAPS = 0.1
"""Share of the frames, those with the smallest gaps, from which the density of gaps at a tie is read."""


def parity_from_logits(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], temperature: float = 1.0
) -> Parity:
    """Compare logits [n, classes]; n must be at least 1 and the shapes equal. temperature: of both's probabilities.

    Where a logit of either side is NaN or infinite there are no errors to speak of: they are None.
    """
    if reference.shape != candidate.shape or not len(reference):
        raise ValueError(f"logits must have equal shapes and frames: {reference.shape}, {candidate.shape}")
    finite = finite_frames(reference, candidate)
    flips = int(flipped_frames(reference, candidate).sum())
    error = np.abs(reference.astype(np.float64) - candidate) if finite.all() else None
    gap = _gaps(reference) if finite.all() else np.zeros(0)
    probabilities = [softmax(logits, temperature) for logits in (reference, candidate)] if finite.all() else None
    return Parity(
        n=len(reference),
        flips=flips,
        flip_rate_upper95=flip_rate_upper95(flips, len(reference)),
        max_abs_error=None if error is None else float(error.max()),
        mean_abs_error=None if error is None else float(error.mean()),
        max_probability_error=None if probabilities is None else float(np.abs(np.subtract(*probabilities)).max()),
        near_ties=None if error is None else int((gap <= 2 * error.max()).sum()),
        expected_flip_rate=None if error is None else _expected_flip_rate(gap, leads(reference, candidate)),
        nonfinite_frames=int((~finite).sum()),
    )


def flip_rate_upper95(flips: int, n: int) -> float:
    """Return the exact one-sided 95 % upper bound of a rate after flips in n independent frames."""
    return 1.0 if flips >= n else float(beta.ppf(0.95, flips + 1, n - flips))


def _gaps(reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [n]: how far the first reference logit lies above the second."""
    first_two = np.sort(reference.astype(np.float64), axis=1)[:, -2:]
    gap: NDArray[np.float64] = first_two[:, 1] - first_two[:, 0]
    return gap


def _expected_flip_rate(gap: NDArray[np.float64], lead: NDArray[np.float64]) -> float:
    """Return E[narrowing] · density of gaps at 0.

    A frame flips where its gap narrows by more than the gap. For narrowings that are small beside the spread of the
    gaps and independent of them, P(narrowing > gap) is that product; the density is that of the smallest gaps.
    """
    small = float(np.quantile(gap, _SMALL_GAPS))
    narrowing = float(np.maximum(gap - lead, 0.0).mean())
    return min(1.0, narrowing * _SMALL_GAPS / small) if small > 0 else 1.0
