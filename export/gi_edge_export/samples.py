"""Test frames packed into a bundle, so that a device without the dataset can prove parity."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import Adapter
from gi_edge.artifacts.bundle import SAMPLES_FOLDER, Reference, SampleEntry
from gi_edge.data.index import Frame
from gi_edge.errors import DataError

_LICENCE_FILE = "LICENCE.txt"


def write_samples(
    folder: Path, adapter: Adapter, frames: Sequence[Frame], reference: Reference, count: int
) -> tuple[SampleEntry, ...]:
    """Copy the original files of count test frames into samples/, with a note of their licence; none for 0.

    Raises: DataError if count is larger than the test part or smaller than its number of classes.
    """
    if not count:
        return ()
    manifest = adapter.manifest
    groups = adapter.split.groups_of(reference.ids) or reference.ids
    rows = sample_rows(reference.labels, groups, reference.sha256, count)
    place = folder / SAMPLES_FOLDER
    place.mkdir()
    dataset = manifest.dataset
    (place / _LICENCE_FILE).write_text(
        f"{count} frames of the test part of {dataset.name}, unchanged.\nLicence: {dataset.licence}\n"
        f"{dataset.citation}\nThey may show patients: pass this bundle on only where the licence permits it.\n",
        encoding="utf-8",
    )
    entries = []
    for number, row in enumerate(rows, start=1):
        name = f"{number:04d}{frames[row].path.suffix.lower()}"
        shutil.copyfile(frames[row].path, place / name)
        entries.append(SampleEntry(frame=reference.ids[row], path=f"{SAMPLES_FOLDER}/{name}"))
    return tuple(entries)


def sample_rows(
    labels: NDArray[np.int64], groups: Sequence[str], hashes: Sequence[str], count: int, least: int = 1
) -> tuple[int, ...]:
    """Choose count of n frames, in proportion to the classes but least of each, or all there are, spread over groups.

    labels [n], groups [n] and hashes [n], the sha256 of each file, which decides where nothing else does. Equal frames
    give equal choices, whatever they are called.

    Raises: DataError if count is larger than n or smaller than the number of classes present.
    """
    present = np.unique(labels)
    if not len(present) <= count <= len(labels):
        raise DataError(
            f"--samples {count} cannot be: the test part has {len(labels)} frames of {len(present)} classes",
            fix=f"give a number from {len(present)} to {len(labels)}",
        )
    chosen: list[int] = []
    for label, quota in zip(present, _quotas(np.bincount(labels)[present], count, least), strict=True):
        chosen += _spread([int(i) for i in np.flatnonzero(labels == label)], groups, hashes)[:quota]
    return tuple(sorted(chosen))


def _quotas(supports: NDArray[np.int64], count: int, least: int) -> list[int]:
    """Share count out by Webster's method, least of each first, so that no class gets more than it has frames."""
    quotas = np.minimum(supports, least)
    for _ in range(count - int(quotas.sum())):
        quotas[np.where(quotas < supports, supports / (2 * quotas + 1), -1.0).argmax()] += 1
    return [int(quota) for quota in quotas]


def _spread(rows: list[int], groups: Sequence[str], hashes: Sequence[str]) -> list[int]:
    """Order rows so that every group gives one frame before any gives a second."""
    seen: defaultdict[str, int] = defaultdict(int)
    turn = {}
    for row in sorted(rows, key=lambda row: hashes[row]):
        turn[row] = seen[groups[row]]
        seen[groups[row]] += 1
    return sorted(rows, key=lambda row: (turn[row], hashes[row]))
