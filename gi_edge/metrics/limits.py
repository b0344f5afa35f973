"""The checks of a verdict that hold numbers against the limits of a precision."""

from __future__ import annotations

from scipy.stats import beta

from gi_edge.metrics.parity import LIMITS, Parity, Precision
from gi_edge.metrics.verdict import Check


def limit_checks(precision: Precision, parity: Parity) -> tuple[Check, ...]:
    """Hold the numbers of a parity against the limits of its precision."""
    limits = LIMITS[precision]
    checks = [_finite_check(parity)]
    if limits.max_flip_rate is not None:
        checks.append(_flip_check(parity, limits.max_flip_rate))
    if limits.max_abs_error is not None and parity.max_abs_error is not None:
        checks.append(_error_check("max_abs_error", parity.max_abs_error, limits.max_abs_error, parity.n))
    if limits.max_probability_error is not None and parity.max_probability_error is not None:
        largest = parity.max_probability_error
        checks.append(_error_check("max_probability_error", largest, limits.max_probability_error, parity.n))
    return tuple(checks)


def _finite_check(parity: Parity) -> Check:
    bad = parity.nonfinite_frames
    return Check(
        name="nonfinite_frames",
        n=parity.n,
        value=bad,
        limit=0,
        outcome="fail" if bad else "pass",
        needed=True,
        reason=f"{bad} of {parity.n} frames gave NaN or infinity" if bad else "",
    )


def _error_check(name: str, value: float, limit: float, n: int) -> Check:
    within = value <= limit
    noun = {"max_abs_error": "logit", "max_probability_error": "probability"}[name]
    return Check(
        name=name,
        n=n,
        value=value,
        limit=limit,
        outcome="pass" if within else "fail",
        needed=True,
        reason="" if within else f"a {noun} is off by {value:.2g}; limit {limit:g}",
    )


def _flip_check(parity: Parity, limit: float) -> Check:
    """Hold the observed share against the limit; where it is above, few frames may not prove that it is by rights."""
    rate = parity.flips / parity.n
    above = rate > limit
    proven = above and float(beta.ppf(0.05, parity.flips, parity.n - parity.flips + 1)) > limit
    clause = f"{parity.flips} of {parity.n} frames changed their class; at most {limit:.1%} may"
    return Check(
        name="flip_rate",
        n=parity.n,
        value=rate,
        bound=parity.flip_rate_upper95,
        limit=limit,
        outcome="fail" if proven else "undecided" if above else "pass",
        needed=True,
        reason="" if not above else clause if proven else f"{clause}, and so few frames could be chance",
    )
