"""Temperature scaling: one number that makes a classifier's probabilities mean more of what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2

from gi_edge.errors import DataError
from gi_edge.metrics.calibration import Calibration, calibration_from_sums, frame_sums, softmax
from gi_edge.metrics.checks import check_labels, check_lengths

BOUNDS = (0.1, 10.0)
"""A temperature outside of these would say that the model is broken, not badly calibrated."""

_LEVEL = 0.95
_NO_MISTAKE = (
    "no frame of the validation part is answered wrongly, so that lower is always better: this is the largest "
    "temperature up to 1 that these frames allow"
)
_BEYOND = "the best fit lies beyond {:g}, the bound of the search"


def calibration_from_logits(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> Calibration:
    """Fit the temperature of least NLL (Guo et al. 2017) to logits [n, classes] and class indices [n].

    These must be frames of the validation part, never of the test part. The NLL is convex in 1/temperature. Without a
    mistake among the frames it falls for ever as the temperature does, and its minimum would claim certainty from few
    frames; the upper end of the interval is then taken, 1 at most.

    Raises: DataError for labels that do not fit or logits that are not finite.
    """
    check_labels(truth, logits.shape[1], "truth")
    check_lengths(len(logits), truth=truth)
    if not np.isfinite(logits).all():
        raise DataError("the logits of the validation part hold NaN or infinity", fix="--learning-rate a tenth of it")
    exact = logits.astype(np.float64)
    rows = np.arange(len(exact))
    margins = exact - exact[rows, truth][:, None]

    def nll(log_temperature: float) -> float:
        scaled = margins / np.exp(log_temperature)
        top = scaled.max(axis=1)
        return float((top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))).mean())

    bounds = float(np.log(BOUNDS[0])), float(np.log(BOUNDS[1]))
    if margins.max() <= 0:
        low, high = _interval(nll, bounds[0], len(exact), bounds)
        fitted, note = min(0.0, high), _NO_MISTAKE
    else:
        best = float(minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
        edge = next((edge for edge in bounds if abs(best - edge) < 1e-4), None)
        fitted, note = (best, "") if edge is None else (edge, _BEYOND.format(np.exp(edge)))
        low, high = _interval(nll, fitted, len(exact), bounds)
    temperature = float(np.exp(fitted))
    before, after = (_scores(logits, truth, value) for value in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        n=len(exact),
        nll_before=before["nll"],
        nll_after=after["nll"],
        ece_before=before["ece"],
        ece_after=after["ece"],
        note=note,
    )


def _scores(logits: NDArray[np.float32], truth: NDArray[np.int64], temperature: float) -> dict[str, float]:
    sums = frame_sums(truth, softmax(logits, temperature)).sum(axis=0)
    return {name: float(value) for name, value in calibration_from_sums(sums, len(truth)).items()}


def _interval(nll: Callable[[float], float], fitted: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the log temperatures on both sides whose likelihood is as far below the best as the level allows."""
    allowed = nll(fitted) + float(chi2.ppf(_LEVEL, df=1)) / (2 * n)

    def excess(log_temperature: float) -> float:
        return nll(log_temperature) - allowed

    low, high = (
        edge if edge == fitted or excess(edge) <= 0 else float(brentq(excess, edge, fitted)) for edge in bounds
    )
    return low, high
