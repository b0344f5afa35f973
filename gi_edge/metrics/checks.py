"""Refuse predictions that no score can be made of, with what was found and the mend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gi_edge.errors import DataError

_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may sum from 1; a softmax in half precision stays within it."""


def check_labels(labels: NDArray[np.int64], classes: int, what: str) -> None:
    """Check class indices [n] against the number of classes. what names them in the message.

    Raises: DataError if there are none, or one is no index of a class.
    """
    if labels.ndim != 1 or not len(labels):
        raise DataError(f"{what}: shape {labels.shape}, wanted [n] with n ≥ 1", fix="pass one class index per frame")
    if labels.dtype.kind != "i" or labels.dtype.itemsize < 4:
        raise DataError(f"{what}: {labels.dtype}, wanted int64", fix=f"pass {what}.astype(np.int64)")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{what}: frame {wrong[0]} has class index {labels[wrong[0]]}, but there are {classes} classes"
            f" ({len(wrong)} such frames)",
            fix="index the labels in the class order of the adapter",
        )


def check_lengths(n: int, **others: Sequence[str] | NDArray[np.int64] | None) -> None:
    """Check that each of the others that is given has n entries. Raises: DataError naming the first that has not."""
    for name, values in others.items():
        if values is not None and len(values) != n:
            raise DataError(f"{name}: {len(values)} entries for {n} frames", fix=f"pass one entry of {name} per frame")


def check_groups(groups: Sequence[str] | None, n: int) -> None:
    """Check group names of n frames; None means that none are known. Raises: DataError if only some are known."""
    check_lengths(n, groups=groups)
    unknown = sum(not name for name in groups) if groups is not None else 0
    if unknown:
        raise DataError(
            f"{unknown} of {n} frames have no group", fix="name the group of every frame, or pass groups=None"
        )


def check_probabilities(probabilities: NDArray[np.floating], n: int, classes: int) -> None:
    """Check probabilities [n, classes]: shape, finite, within 0..1, rows that sum to 1. Raises: DataError."""
    if probabilities.shape != (n, classes):
        raise DataError(
            f"probabilities: shape {probabilities.shape}, wanted ({n}, {classes})",
            fix="pass one row per frame and one column per class",
        )
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{int((~finite).sum())} of {n} frames have NaN or infinity among their probabilities,"
            f" first frame {int(finite.argmin())}",
            fix="evaluate the fp32 model of the bundle",
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = (np.abs(sums - 1) > _SUM_TOLERANCE) | (probabilities.min(axis=1) < 0)
    if wrong.any():
        raise DataError(
            f"frame {int(wrong.argmax())}: {int(wrong.sum())} of {n} rows are no probabilities (they must be ≥ 0 and"
            f" sum to 1; this one sums to {sums[wrong.argmax()]:.4g})",
            fix="pass the softmax of the logits: scipy.special.softmax(logits, axis=1)",
        )
