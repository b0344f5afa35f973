"""A few of many frames, for checks that more frames would not sharpen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MERGE_FRAMES = 64
"""The merge, which is exact but for rounding, is checked on at most so many."""
HEADROOM_FRAMES = 128
"""The range of the activations is measured on at most so many."""


def spread_rows(count: int, most: int) -> NDArray[np.int64]:
    """Return the rows of at most so many of count frames, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
