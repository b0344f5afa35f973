"""Do two implementations of one classifier make the same diagnoses? Pure functions on logits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from gi_edge.config import Value
from gi_edge.metrics.calibration import softmax

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")


class Limits(Value):
    """What a precision may differ from the fp32 reference."""

    max_abs_error: float | None
    """Largest absolute logit difference on any frame; None: not limited."""
    max_flip_rate: float
    """Largest share of frames whose top class changes."""
    max_probability_error: float
    """Largest absolute difference of any class's probability, the softmax of the logits, on any frame."""


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(max_abs_error=1e-4, max_flip_rate=0.0, max_probability_error=1e-4),
    "fp16": Limits(max_abs_error=None, max_flip_rate=0.01, max_probability_error=0.02),
    "bf16": Limits(max_abs_error=None, max_flip_rate=0.02, max_probability_error=0.05),
}


class Parity(Value):
    """Differences between candidate and reference logits on n frames."""

    n: int
    flips: int
    """Frames whose top class changed."""
    flip_rate_upper95: float
    """One-sided 95 % upper bound of the flip rate (Clopper and Pearson 1934); about 3/n at 0 flips."""
    max_abs_error: float | None
    """Largest absolute difference of any logit; None if the candidate has non-finite logits."""
    mean_abs_error: float | None
    """Mean absolute difference of the logits; None likewise."""
    max_probability_error: float | None
    """Largest absolute difference of any class's probability; None likewise."""
    nonfinite_frames: int
    """Frames with a NaN or infinity among the candidate's logits; each counts as flipped."""


class Verdict(Value):
    """Whether a precision of a bundle is fit for use, by what was compared, and where."""

    precision: Precision
    status: Literal["pass", "fail"]
    reasons: tuple[str, ...]
    """Why it failed; empty on a pass."""
    computed_by: str
    """What computed the candidate logits, such as "PyTorch on the CPU, half precision"."""
    parity: Parity


def parity_from_logits(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> Parity:
    """Compare logits [n, classes]; n must be at least 1 and the shapes equal."""
    if reference.shape != candidate.shape or not len(reference):
        raise ValueError(f"logits must have equal shapes and frames: {reference.shape}, {candidate.shape}")
    finite = np.isfinite(candidate).all(axis=1)
    same = finite & (reference.argmax(axis=1) == candidate.argmax(axis=1))
    flips = int((~same).sum())
    error = np.abs(reference.astype(np.float64) - candidate) if finite.all() else None
    return Parity(
        n=len(reference),
        flips=flips,
        flip_rate_upper95=flip_rate_upper95(flips, len(reference)),
        max_abs_error=None if error is None else float(error.max()),
        mean_abs_error=None if error is None else float(error.mean()),
        max_probability_error=None if error is None else float(np.abs(softmax(reference) - softmax(candidate)).max()),
        nonfinite_frames=int((~finite).sum()),
    )


def flip_rate_upper95(flips: int, n: int) -> float:
    """Return the exact one-sided 95 % upper bound of a rate after flips in n independent frames."""
    return 1.0 if flips >= n else float(beta.ppf(0.95, flips + 1, n - flips))


def verdict_from_parity(precision: Precision, parity: Parity, computed_by: str) -> Verdict:
    """Hold a parity against the limits of its precision."""
    limits = LIMITS[precision]
    reasons = []
    if parity.nonfinite_frames:
        reasons.append(f"{parity.nonfinite_frames} of {parity.n} frames gave NaN or infinity")
    if parity.flips / parity.n > limits.max_flip_rate:
        reasons.append(
            f"{parity.flips} of {parity.n} frames changed their class; at most {limits.max_flip_rate:.1%} may"
        )
    if (
        limits.max_abs_error is not None
        and parity.max_abs_error is not None
        and parity.max_abs_error > limits.max_abs_error
    ):
        reasons.append(f"a logit is off by {parity.max_abs_error:.2g}; limit {limits.max_abs_error:g}")
    if parity.max_probability_error is not None and parity.max_probability_error > limits.max_probability_error:
        reasons.append(
            f"a probability is off by {parity.max_probability_error:.2g}; limit {limits.max_probability_error:g}"
        )
    return Verdict(
        precision=precision,
        status="fail" if reasons else "pass",
        reasons=tuple(reasons),
        computed_by=computed_by,
        parity=parity,
    )
