"""Differences of two models on the same frames, candidate minus reference, with intervals by resampled groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gi_edge.metrics.calibration import WIDTH, calibration_from_sums, frame_sums
from gi_edge.metrics.counts import scores_from_confusion
from gi_edge.metrics.resample import Bootstrap, resampled_sums, units_from_cells, units_from_values

Floats = NDArray[np.float64]
_CALIBRATION = ("ece", "brier")


class Shift(NamedTuple):
    """Candidate minus reference. low and high are NaN where no resample defines the score."""

    value: float
    low: float
    """2.5 % quantile of the resampled differences; percentile bootstrap (Efron 1979)."""
    high: float
    """97.5 % quantile."""
    fall: float
    """95 % quantile of reference minus candidate: the one-sided upper bound of a loss."""


def answer_shifts(
    truth: NDArray[np.int64],
    answers: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: int,
    groups: Sequence[str] | None,
    bootstrap: Bootstrap,
) -> dict[str, list[Shift]]:
    """Return macro_f1 and mcc (one each) and sensitivity (one per class) of answers (reference, candidate), each [n].

    All values are class indices. Both models are scored on the same resamples, of whole groups where these are known.
    """
    square = classes**2
    cells = np.column_stack([truth * classes + answers[0], square + truth * classes + answers[1]])
    units = units_from_cells(cells, 2 * square, groups)
    draws: dict[str, list[Floats]] = {"macro_f1": [], "mcc": [], "sensitivity": []}
    whole = _scored((units.copies @ units.tables)[None], classes)
    for sums in resampled_sums(units, bootstrap.resamples, bootstrap.seed):
        for name, values in _scored(sums, classes).items():
            draws[name].append(values)
    return {name: _shifts(whole[name], np.concatenate(chunks)) for name, chunks in draws.items()}


def calibration_shifts(
    truth: NDArray[np.int64],
    probabilities: tuple[NDArray[np.float32], NDArray[np.float32]],
    groups: Sequence[str] | None,
    bootstrap: Bootstrap,
) -> dict[str, Shift]:
    """Return ece and brier of probabilities (reference, candidate), each [n, classes]; lower scores are better."""
    sums = [frame_sums(truth, item) for item in probabilities]
    units = units_from_values(np.column_stack([*sums, np.ones(len(truth))]), groups)
    whole = _calibrated((units.copies @ units.tables)[None])
    drawn = [_calibrated(item) for item in resampled_sums(units, bootstrap.frame_resamples, bootstrap.seed)]
    return {
        name: _shifts(whole[name][:, None], np.concatenate([item[name] for item in drawn])[:, None])[0]
        for name in _CALIBRATION
    }


def _scored(sums: Floats, classes: int) -> dict[str, Floats]:
    """Return differences by score, each [resamples, 1 or classes], from sums [resamples, 2 · classes²]."""
    scores = scores_from_confusion(sums.reshape(-1, 2, classes, classes))
    found = {name: scores[name] for name in ("macro_f1", "mcc", "sensitivity")}
    return {name: (item[:, 1] - item[:, 0]).reshape(len(sums), -1) for name, item in found.items()}


def _calibrated(sums: Floats) -> dict[str, Floats]:
    n = sums[:, -1]
    before, after = (calibration_from_sums(sums[:, start : start + WIDTH], n) for start in (0, WIDTH))
    return {name: after[name] - before[name] for name in _CALIBRATION}


def _shifts(whole: Floats, draws: Floats) -> list[Shift]:
    found = []
    for value, column in zip(whole[0], draws.T, strict=True):
        defined = column[np.isfinite(column)]
        low, fall, high = np.quantile(defined, [0.025, 0.05, 0.975]) if len(defined) else (np.nan,) * 3
        found.append(Shift(float(value), float(low), float(high), float(-fall)))
    return found
