"""Do two backends answer alike on frames without labels? For probe images, and for one runtime beside another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import LIMITS, Precision, finite_frames, flipped_frames

_INT8_TIE = 0.25
"""int8 has no bound on single frames. Probability errors beyond this on half of the frames are taken for a fault; a
change between classes further apart than twice this is a clear one, of which LIMITS says how many may be."""
_LARGE_LOGIT = 10.0
"""The fp32 limit is for logits up to this size, as trained models give; a rounding error grows with the logit."""


def unlike_reasons(
    precision: Precision,
    reference: NDArray[np.float32],
    candidate: NDArray[np.float32],
    temperature: float,
    named: str = "the reference",
) -> tuple[str, ...]:
    """Say why logits [n, classes] do not answer as the reference's; empty if they do.

    They do if all are finite, none differs by more than the precision explains (LIMITS), and a class changed only
    where the reference had its two best within that difference of one another; in int8, where single frames have no
    bound, on no more other frames than its flip rate allows. temperature: of the probabilities. named: the reference
    in words.
    """
    broken = tuple(_broken_reasons(reference, candidate, named))
    if broken:
        return broken
    limits, parity = LIMITS[precision], parity_from_logits(reference, candidate, temperature)
    reasons = []
    scale = max(1.0, float(np.abs(reference).max()) / _LARGE_LOGIT)
    if limits.max_abs_error is not None and (parity.max_abs_error or 0.0) > limits.max_abs_error * scale:
        reasons.append(f"a logit is off by {parity.max_abs_error:.2g}; limit {limits.max_abs_error * scale:.2g}")
    before, after = softmax(reference, temperature), softmax(candidate, temperature)
    error = np.abs(before - after).max(axis=1)
    tie = limits.max_probability_error or _INT8_TIE
    if limits.max_probability_error is not None and error.max() > tie:
        reasons.append(f"a probability is off by {error.max():.2g}; limit {tie:g}")
    if limits.max_probability_error is None and np.median(error) > tie:
        reasons.append(f"half of the frames have a probability off by {np.median(error):.2g} or more; limit {tie:g}")
    first_two = np.sort(before, axis=1)[:, -2:]
    clear = flipped_frames(reference, candidate) & (first_two[:, 1] - first_two[:, 0] > 2 * tie)
    allowed = None if limits.max_probability_error is not None else limits.max_flip_rate
    if clear.any() and (allowed is None or clear.mean() > allowed):
        most = "" if allowed is None else f"; at most {allowed:.0%} may"
        reasons.append(f"{int(clear.sum())} of {parity.n} frames changed their class, and not for a near tie{most}")
    return tuple(reasons)


def _broken_reasons(reference: NDArray[np.float32], candidate: NDArray[np.float32], named: str) -> Iterator[str]:
    for of_whom, logits in ((f" of {named}", reference), ("", candidate)):
        bad = int((~finite_frames(logits)).sum())
        if bad:
            yield f"{bad} of {len(logits)} frames{of_whom} gave NaN or infinity"
