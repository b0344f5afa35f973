"""Near-duplicate pairs across the parts of a split, for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from gi_edge.data.duplicates import hashes_from_frames, near_duplicate_pairs
from gi_edge.data.index import Frame
from gi_edge.data.overlap import NearPair
from gi_edge.progress import Progress

LIMIT = 500_000
"""Pairs taken between two parts, the nearest first; a frame-level split of video can hold millions."""


def near_pairs_across_parts(
    frames: Sequence[Frame], part_of: Mapping[str, str], progress: Progress, title: str
) -> list[NearPair]:
    """Return near-duplicate pairs of frames in different parts. part_of: frame id to part.

    Unreadable and plain frames (nearly one grey) are not compared; their hash says nothing.
    """
    hashed = hashes_from_frames([frame for frame in frames if frame.id in part_of], progress, title)
    parts = np.array([part_of[frame.id] for frame in hashed.frames])
    pairs: list[NearPair] = []
    for first, second in combinations(sorted(set(part_of.values())), 2):
        rows_a, rows_b = (np.flatnonzero(hashed.usable & (parts == part)) for part in (first, second))
        found = near_duplicate_pairs(hashed.hashes[rows_a], hashed.hashes[rows_b], limit=LIMIT)
        if len(found) == LIMIT:
            progress.say(f"{first} and {second}: only the {LIMIT:,} nearest near-duplicate pairs are counted")
        pairs.extend(
            NearPair(first=hashed.frames[rows_a[a]].id, second=hashed.frames[rows_b[b]].id, distance=float(distance))
            for a, b, distance in found.tolist()
        )
    return pairs
