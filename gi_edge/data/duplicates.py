"""Near-duplicate frames: a perceptual hash per frame, pairs at a small distance, and the clusters these make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import imagehash
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gi_edge.data.index import Frame
from gi_edge.data.pool import each_frame
from gi_edge.data.preprocess import UnreadableImageError, read_image
from gi_edge.progress import Progress

HASH_BITS = 64
THRESHOLD_BITS = 4
"""Frames whose hashes differ in at most so many of 64 bits are near-duplicates. Chosen by looking at pairs of real
frames: at 4 nearly every pair is one scene moments apart; of the colonoscopy pairs at 6 a third share only the black
border and the inset box, which chains 234 of 1,428 HyperKvasir frames into one cluster (at 4 the largest holds 35)."""
PLAIN_CONTRAST = 2.0
"""Standard deviation of an image's grey levels (0 to 255, at 32×32 px) below which its hash is chance."""
_THUMBNAIL_PX = 32
_BLOCK_ROWS = 512

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class HashedFrames:
    """Perceptual hashes of frames: 64-bit pHash of the grey image."""

    frames: tuple[Frame, ...]
    hashes: Hashes
    """[n]; 0 where the frame cannot be read."""
    usable: NDArray[np.bool_]
    """[n]; False for unreadable and plain frames, whose hash says nothing."""
    plain: NDArray[np.bool_]
    """[n]; True for readable frames of nearly one grey: black, overexposed, covered lens."""


@dataclass(frozen=True)
class Clusters:
    """Each frame's near-duplicate cluster; a frame without a twin is a cluster of its own."""

    frames: tuple[str, ...]
    """Ids, in the order they were given."""
    ids: tuple[str, ...]
    """Cluster of each frame, "cluster-000123", numbered by the first frame id in each."""
    plain: int
    """Frames of nearly one grey, which share one cluster."""

    @cached_property
    def by_frame(self) -> Mapping[str, str]:
        """Frame id to cluster id."""
        return dict(zip(self.frames, self.ids, strict=True))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Frames of each cluster, largest first."""
        return tuple(sorted(Counter(self.ids).values(), reverse=True))

    @property
    def summary(self) -> str:
        """One sentence: how many clusters, how many frames have a twin, how large the largest cluster is."""
        twins = sum(size for size in self.sizes if size > 1)
        return (
            f"{len(self.sizes):,} near-duplicate clusters in {len(self.ids):,} frames: {twins:,} frames have a twin, "
            f"the largest cluster holds {max(self.sizes, default=0):,}"
        )


def clusters_from_frames(
    frames: Sequence[Frame], progress: Progress, title: str = "find near-duplicates", threshold: int = THRESHOLD_BITS
) -> Clusters:
    """Hash frames on all cores and join near-duplicates, and frames of one known group, transitively.

    Plain frames join one another only, or black frames would chain scenes together; an unreadable frame is alone.
    """
    hashed = hashes_from_frames(frames, progress, title)
    clusters = clusters_from_hashes(hashed, threshold)
    progress.say(clusters.summary)
    return clusters


def hashes_from_frames(frames: Sequence[Frame], progress: Progress, title: str) -> HashedFrames:
    """Hash frames on all cores; an unreadable one is told and marked."""
    count = len(frames)
    hashes = np.zeros(count, dtype=np.uint64)
    usable, plain = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    for row, (frame, outcome) in enumerate(each_frame(_hash_of_frame, frames, progress, title)):
        if isinstance(outcome, str):
            progress.say(f"not compared, {frame.id}: {outcome}")
        else:
            hashes[row], contrast = outcome
            plain[row] = contrast < PLAIN_CONTRAST
            usable[row] = not plain[row]
    return HashedFrames(tuple(frames), hashes, usable, plain)


def clusters_from_hashes(hashed: HashedFrames, threshold: int = THRESHOLD_BITS) -> Clusters:
    """Join frames at most threshold bits apart, plain frames, and frames of one known group, transitively."""
    order = sorted(range(len(hashed.frames)), key=lambda row: hashed.frames[row].id)
    labels = np.arange(len(order), dtype=np.int64)
    labels = _joined(labels, *_kin(hashed))
    rows = np.flatnonzero(hashed.usable)
    unique, position = np.unique(hashed.hashes[rows], return_inverse=True)
    example = np.zeros(len(unique), dtype=np.int64)
    example[position] = rows
    labels = _joined(labels, rows, example[position])
    for left, right, _ in _near_blocks(unique, unique, threshold):
        labels = _joined(labels, example[left], example[right])
    number: dict[int, int] = {}
    for row in order:
        number.setdefault(int(labels[row]), len(number))
    ids = tuple(f"cluster-{number[int(label)]:06d}" for label in labels)
    return Clusters(tuple(frame.id for frame in hashed.frames), ids, int(hashed.plain.sum()))


def near_duplicate_pairs(
    hashes_a: Hashes, hashes_b: Hashes, threshold: int = THRESHOLD_BITS, limit: int | None = None
) -> Pairs:
    """Return all pairs at most threshold bits apart, the nearest first; of a limit, the nearest so many.

    hashes_a: [n], hashes_b: [m]. Returns: [pairs, 3], row in a, row in b, distance in bits.
    """
    found = np.zeros((0, 3), dtype=np.int64)
    for block in _near_blocks(hashes_a, hashes_b, threshold):
        found = np.concatenate([found, np.stack(block, axis=1)])
        if limit is not None and len(found) > limit:
            found = _nearest_first(found)[:limit]
    return _nearest_first(found)


def _nearest_first(pairs: Pairs) -> Pairs:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 2]))]


def _hash_of_frame(frame: Frame) -> tuple[np.uint64, float] | str:
    try:
        grey = read_image(frame.path).convert("L")
    except UnreadableImageError as error:
        return str(error)
    bits = imagehash.phash(grey).hash.reshape(HASH_BITS)
    value = np.packbits(bits).view(">u8")[0]
    contrast = float(np.asarray(grey.resize((_THUMBNAIL_PX, _THUMBNAIL_PX)), dtype=np.float64).std())
    return np.uint64(value), contrast


def _kin(hashed: HashedFrames) -> tuple[Pairs, Pairs]:
    """Return pairs of rows that join what belongs together whatever its hashes: plain frames, and known groups."""
    first: dict[str | None, int] = {}
    left, right = [], []
    for row, frame in enumerate(hashed.frames):
        keys: list[str | None] = [] if frame.group is None else [frame.group]
        if hashed.plain[row]:
            keys.append(None)
        for key in keys:
            left.append(first.setdefault(key, row))
            right.append(row)
    return np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)


def _joined(labels: Pairs, left: Pairs, right: Pairs) -> Pairs:
    """Return [n] labels in which the components of each pair of rows left, right are one."""
    size = len(labels)
    edges = coo_array((np.ones(len(left)), (labels[left], labels[right])), shape=(size, size))
    return connected_components(edges, directed=False)[1].astype(np.int64)[labels]


def _near_blocks(hashes_a: Hashes, hashes_b: Hashes, threshold: int) -> Iterator[tuple[Pairs, Pairs, Pairs]]:
    """Yield rows in a, rows in b and distances of all near pairs, block by block, so that memory stays small.

    With bits as ±1 the distance is (64 − a·b) / 2, exact in float32 and a matrix product.
    """
    signs_b = _signs(hashes_b).T
    least = HASH_BITS - 2 * threshold
    for start in range(0, len(hashes_a), _BLOCK_ROWS):
        product = _signs(hashes_a[start : start + _BLOCK_ROWS]) @ signs_b
        left, right = np.nonzero(product >= least)
        yield left + start, right, ((HASH_BITS - product[left, right]) / 2).astype(np.int64)


def _signs(hashes: Hashes) -> NDArray[np.float32]:
    """Return the bits of [n] hashes as −1 and 1, [n, 64]."""
    octets = hashes.astype(np.uint64).reshape(-1, 1).view(np.uint8)
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
