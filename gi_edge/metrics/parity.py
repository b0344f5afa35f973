"""What two implementations of one classifier may differ by, and what their differences are told in.

Imported wherever a bundle is read, a prediction included: nothing of weight here, agreement.py does the statistics.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gi_edge.config import Value

Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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
    """Largest absolute difference of any logit; None if either side has non-finite logits."""
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
    """Frames with a NaN or infinity among the logits of either side; each counts as flipped."""


def finite_frames(*logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return [n]: whether every logit of a frame is finite, in each of the arrays [n, classes]."""
    finite: NDArray[np.bool_] = np.all([np.isfinite(side).all(axis=1) for side in logits], axis=0)
    return finite


def flipped_frames(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return [n]: whether the top class differs, or a logit of either is not finite."""
    finite = finite_frames(reference, candidate)
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
