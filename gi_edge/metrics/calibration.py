"""Do the probabilities mean what they say? Calibration error, Brier score, log loss, and a reliability diagram's bins.

All are means over frames or absolute sums per bin, so that they are computed from sums, which a bootstrap can draw.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gi_edge.config import Value

BINS = 15
"""Equal-width bins of the top-1 confidence (Guo et al. 2017)."""

WIDTH = BINS + 2
"""Columns of the frame sums: one per bin, Brier, log loss."""

CALIBRATION = ("ece", "brier", "nll")
"""ECE: sum over bins of share × |accuracy − mean confidence|, top-1 (Guo et al. 2017; Naeini et al. 2015).
That of a sample lies above that of the population, and a resample's higher still: its interval shows spread, not bias.
Brier: mean of the squared differences to the one-hot truth, summed over classes: 0 to 2 (Brier 1950).
NLL: mean natural log loss of the true class."""

Floats = NDArray[np.float64]


class ReliabilityBin(Value):
    """Frames whose top-1 confidence lies in (low, high]; None where there are none."""

    low: float
    high: float
    count: int
    accuracy: float | None
    confidence: float | None
    """Mean top-1 confidence."""


class Calibration(Value):
    """A temperature, the frames it was fitted on, and what it did to their probabilities."""

    temperature: float = Field(gt=0)
    """Probabilities are the softmax of the logits divided by it; above 1 the model was too sure, below 1 too unsure."""
    low: float
    """95 % likelihood-ratio interval (Wilks 1938) within the search's bounds. It takes the frames as independent, so it
    is too narrow where several are of one video."""
    high: float
    n: int
    """Frames of the validation part."""
    nll_before: float
    """On these frames, at temperature 1."""
    nll_after: float
    ece_before: float
    ece_after: float
    note: str
    """Why the temperature is no free minimum; empty where it is one."""


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Return probabilities [n, classes] of logits [n, classes], which are divided by the temperature first.

    A temperature above 0 keeps the order of a row, and so the most probable class.
    """
    shifted = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature))
    return cast("NDArray[np.float32]", shifted / shifted.sum(axis=1, keepdims=True))


def frame_sums(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Floats:
    """Return what each frame adds, [n, WIDTH], from class indices [n] and probabilities [n, classes].

    A bin's column holds right (0 or 1) minus confidence. A log loss is bounded by −ln of the smallest step of a
    float64 (36.04), as in scikit-learn.
    """
    p = probabilities.astype(np.float64)
    rows = np.arange(len(p))
    confidence, right = _top1(truth, p)
    true = p[rows, truth]
    sums = np.zeros((len(p), WIDTH))
    sums[rows, _bin(confidence)] = right - confidence
    sums[:, BINS] = (p**2).sum(axis=1) - 2 * true + 1
    sums[:, BINS + 1] = -np.log(np.clip(true, np.finfo(np.float64).eps, None))
    return sums


def calibration_from_sums(sums: Floats, n: NDArray[np.int64] | Floats | int) -> dict[str, Floats]:
    """Return CALIBRATION as arrays [...] from summed frame sums [..., WIDTH] of n frames each, n [...]."""
    gaps = np.abs(sums[..., :BINS]).sum(axis=-1)
    values = gaps / n, sums[..., BINS] / n, sums[..., BINS + 1] / n
    return dict(zip(CALIBRATION, values, strict=True))


def reliability_bins(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> tuple[ReliabilityBin, ...]:
    """Return the bins of a reliability diagram from class indices [n] and probabilities [n, classes]."""
    confidence, right = _top1(truth, probabilities.astype(np.float64))
    place = _bin(confidence)
    counts = np.bincount(place, minlength=BINS)
    accuracy = np.bincount(place, right, minlength=BINS) / np.maximum(counts, 1)
    mean = np.bincount(place, confidence, minlength=BINS) / np.maximum(counts, 1)
    return tuple(
        ReliabilityBin(
            low=i / BINS,
            high=(i + 1) / BINS,
            count=int(counts[i]),
            accuracy=float(accuracy[i]) if counts[i] else None,
            confidence=float(mean[i]) if counts[i] else None,
        )
        for i in range(BINS)
    )


def _top1(truth: NDArray[np.int64], probabilities: Floats) -> tuple[Floats, Floats]:
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == truth).astype(np.float64)


def _bin(confidence: Floats) -> NDArray[np.int64]:
    upper = np.arange(1, BINS) / BINS
    return np.searchsorted(upper, confidence, side="left").astype(np.int64)
