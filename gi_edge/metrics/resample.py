"""The cluster bootstrap: whole groups are drawn with replacement, and with them all their frames.

Neighbouring frames of a video are near-copies, so that frames drawn one by one would make intervals far too narrow.
Sources: Davison and Hinkley 1997, §3.8; Field and Welsh 2007, "Bootstrapping clustered data".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gi_edge.config import Value

_CHUNK = 500_000
"""Numbers held at a time in one array of a chunk of resamples: 4 MB, which stay in a processor's cache."""


class Bootstrap(Value):
    """How intervals are drawn. Equal settings and data give equal intervals."""

    resamples: int = Field(default=10_000, ge=100)
    """For scores that are sums over groups, and for all that depend on the confusion matrix only."""
    frame_resamples: int = Field(default=1_000, ge=100)
    """For scores that need every frame in every resample: rankings, and probabilities of frames without groups."""
    level: float = Field(default=0.95, gt=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)


class Units(NamedTuple):
    """What is drawn: groups, or kinds of equal frames where no group is known."""

    tables: NDArray[np.float64]
    """[units, width]: what a unit adds to the sums of a resample."""
    copies: NDArray[np.int64]
    """[units]: how many such units the data hold."""


def group_indices(groups: Sequence[str] | None, n: int) -> NDArray[np.int64]:
    """Return the unit [n] of every frame: the rank of its group's name, or the frame's own number without groups."""
    if groups is None:
        return np.arange(n)
    codes: NDArray[np.int64] = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    return codes


def units_from_cells(cells: NDArray[np.int64], width: int, groups: Sequence[str] | None) -> Units:
    """Count cells by unit: cells [n, k] are k columns of each frame to which it adds 1, each below width.

    Frames without groups and with equal cells are one kind: drawing how often each kind occurs (multinomial) is
    the same as drawing frame by frame, and does not grow with the number of frames.
    """
    if groups is None:
        kinds, copies = np.unique(cells, axis=0, return_counts=True)
        units = np.arange(len(kinds))
    else:
        kinds, units = cells, group_indices(groups, len(cells))
        copies = np.ones(units.max() + 1, dtype=np.int64)
    flat = (units[:, None] * width + kinds).ravel()
    tables = np.bincount(flat, minlength=len(copies) * width).reshape(len(copies), width)
    return Units(tables.astype(np.float64), copies)


def units_from_values(values: NDArray[np.float64], groups: Sequence[str] | None) -> Units:
    """Sum values [n, width] by group; without groups every frame is a unit."""
    units = group_indices(groups, len(values))
    tables = np.zeros((units.max() + 1, values.shape[1]))
    np.add.at(tables, units, values)
    return Units(tables, np.ones(len(tables), dtype=np.int64))


def weights_from_copies(
    copies: NDArray[np.int64], resamples: int, seed: int, *, width: int
) -> Iterator[NDArray[np.float64]]:
    """Yield [some, units]: how often each unit occurs in a resample, until there were as many as resamples.

    A resample draws as many units as the data hold. The weights do not depend on width, the numbers per resample
    that the caller makes of them, which bounds the size of a chunk.
    """
    random = np.random.default_rng(seed)
    units, total = len(copies), int(copies.sum())
    step = max(1, _CHUNK // max(units, width))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        if total > units:
            yield random.multinomial(total, copies / total, count).astype(np.float64)
            continue
        drawn = random.integers(0, units, (count, units))
        drawn += np.arange(count)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)


def resampled_sums(units: Units, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the sums [some, width] of resamples of the units. Columns that no unit fills cost nothing."""
    width = units.tables.shape[1]
    filled = np.flatnonzero(units.tables.any(axis=0))
    tables = np.ascontiguousarray(units.tables[:, filled])
    for weights in weights_from_copies(units.copies, resamples, seed, width=width):
        sums = np.zeros((len(weights), width))
        sums[:, filled] = weights @ tables
        yield sums
