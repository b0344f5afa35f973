"""A few of many frames, for checks that more frames would not sharpen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SOME_FRAMES = 128
"""The merge, and the range of the activations, are checked on at most so many."""


def spread_rows(count: int) -> NDArray[np.int64]:
    """Return the rows of at most SOME_FRAMES of count frames, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, SOME_FRAMES)).round().astype(np.int64))
