"""Do two implementations of one classifier give the same numbers? Pure functions on logits."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from gi_edge.config import Value
from gi_edge.metrics.calibration import softmax

Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_SMALL_GAPS = 0.1
"""Share of the frames, those with the smallest gaps, from which the density of gaps at a tie is read."""


class Limits(Value):
    """What a correct build of a precision may differ from the fp32 reference in numbers; None: not limited."""

    max_abs_error: float | None
    """Largest absolute logit difference on any frame."""
    max_flip_rate: float | None
    """Largest share of frames whose top class changes."""
    max_probability_error: float | None
    """Largest absolute difference of any class's probability, at the model's temperature, on any frame."""
    by_margins: bool
    """Whether the diagnoses are held against the non-inferiority margins too. fp32 is not: where no logit moves by
    more than e, a frame whose first two logits are more than 2e apart cannot change its class."""


# bf16 has three bits of mantissa fewer than fp16, hence eight times its error. int8 has no bound on single frames.
LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(max_abs_error=1e-4, max_flip_rate=None, max_probability_error=1e-4, by_margins=False),
    "fp16": Limits(max_abs_error=None, max_flip_rate=0.01, max_probability_error=0.02, by_margins=True),
    "bf16": Limits(max_abs_error=None, max_flip_rate=0.02, max_probability_error=0.16, by_margins=True),
    "int8": Limits(max_abs_error=None, max_flip_rate=0.05, max_probability_error=None, by_margins=True),
}


class Parity(Value):
    """Differences between candidate and reference logits on n frames."""

    n: int
    flips: int
    """Frames whose top class changed."""
    flip_rate_upper95: float
    """One-sided 95 % upper bound of the flip rate (Clopper and Pearson 1934), for independent frames; about 3/n at 0
    flips."""
    max_abs_error: float | None
    """Largest absolute difference of any logit; None if the candidate has non-finite logits."""
    mean_abs_error: float | None
    """Mean absolute difference of the logits; None likewise."""
    max_probability_error: float | None
    """Largest absolute difference of any class's probability; None likewise."""
    near_ties: int | None
    """Frames whose first two reference logits are at most 2 · max_abs_error apart: no other can change its class by an
    error of that size. None likewise."""
    expected_flip_rate: float | None
    """What rounding alone would change among unseen frames, extrapolated from the errors and the gaps found; a model,
    not a bound, and no part of a verdict. None likewise."""
    nonfinite_frames: int
    """Frames with a NaN or infinity among the candidate's logits; each counts as flipped."""


def parity_from_logits(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], temperature: float = 1.0
) -> Parity:
    """Compare logits [n, classes]; n must be at least 1 and the shapes equal. temperature: of both's probabilities."""
    if reference.shape != candidate.shape or not len(reference):
        raise ValueError(f"logits must have equal shapes and frames: {reference.shape}, {candidate.shape}")
    finite = np.isfinite(candidate).all(axis=1)
    flips = int(flipped_frames(reference, candidate).sum())
    error = np.abs(reference.astype(np.float64) - candidate) if finite.all() else None
    gap = _gaps(reference)
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


def flipped_frames(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return [n]: whether the top class differs, or a logit of the candidate is not finite."""
    finite = np.isfinite(candidate).all(axis=1)
    changed: NDArray[np.bool_] = ~finite | (reference.argmax(axis=1) != candidate.argmax(axis=1))
    return changed


def leads(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [n]: the candidate's logit of the reference's class minus its best other; below 0 the class changed.

    Minus infinity where a logit of the candidate is not finite.
    """
    rows, top = np.arange(len(reference)), reference.argmax(axis=1)
    others = candidate.astype(np.float64)
    own = others[rows, top].copy()
    others[rows, top] = -np.inf
    with np.errstate(invalid="ignore"):
        lead: NDArray[np.float64] = own - others.max(axis=1)
    lead[~np.isfinite(candidate).all(axis=1)] = -np.inf
    return lead


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
