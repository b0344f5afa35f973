"""The frames that make an INT8 model: training frames for its ranges, validation frames for its choices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import Adapter
from gi_edge.artifacts.frames_file import check_frames
from gi_edge.data.index import Frame, Index, index_from_folder
from gi_edge.data.pixels import decode_frames
from gi_edge.data.split import Part, Split
from gi_edge.data.subset import index_of_classes
from gi_edge.errors import DataError
from gi_edge.files import sha256_file
from gi_edge.progress import Progress, Silent
from gi_edge_export.samples import sample_rows

PER_CLASS = 4
"""Calibration frames that a class has at least, or all that the training part has of it."""
VALIDATION_FRAMES = 256
"""Validation frames that choices are measured on, at most."""


@dataclass(frozen=True)
class CalibrationFrames:
    """Decoded from the raw files."""

    training: NDArray[np.uint8]
    """[n, size, size, 3] RGB."""
    validation: NDArray[np.uint8]
    sha256: str
    """Of the sorted sha256 of the training files, one a line."""


def calibration_frames(adapter: Adapter, data: Path, count: int, progress: Progress) -> CalibrationFrames:
    """Choose training and validation frames by class, the same ones every time, and decode them.

    count: training frames; all there are if they are fewer.

    Raises: DataError if a class has no training frame, count is too small for the classes, a frame chosen is absent,
    unreadable or, byte for byte, a test frame, or a test or validation frame is not the one of the training.
    """
    manifest = adapter.manifest
    dataset = manifest.dataset
    index = index_of_classes(index_from_folder(dataset.name, data, dataset.rules(), dataset.exclude), manifest.classes)
    training = chosen_ids(adapter.split, "train", count, manifest.classes)
    most = max(VALIDATION_FRAMES, PER_CLASS * len(manifest.classes))
    validation = chosen_ids(adapter.split, "val", most, manifest.classes)
    ids_of_tests = set(adapter.split.ids("test"))
    tests = [frame for frame in index.frames if frame.id in ids_of_tests]
    hashes_of_tests = [sha256_file(frame.path) for frame in tests]
    check_frames(adapter, "test", tests, hashes_of_tests, Silent())  # or the refusal below would blame the split
    held_out = {digest: frame.id for digest, frame in zip(hashes_of_tests, tests, strict=True)}
    pixels = {}
    hashes: list[str] = []
    for part, ids in (("training", training), ("validation", validation)):
        frames = _frames(index, ids, part)
        found = [sha256_file(frame.path) for frame in frames]
        if part == "validation":
            check_frames(adapter, "val", frames, found, Silent())
        _refuse_held_out(frames, found, held_out, part)
        decoded = decode_frames(frames, manifest.preprocess, progress, f"int8: decode {len(frames)} {part} frames")
        if decoded.unreadable:
            first = decoded.unreadable[0]
            raise DataError(
                f"{len(decoded.unreadable)} of the {part} frames for int8 cannot be read, the first: "
                f"{first.frame.path}: {first.reason}",
                fix="restore the file, or export without --int8",
            )
        pixels[part] = decoded.pixels
        hashes = hashes or found
    listing = "".join(f"{item}\n" for item in sorted(hashes))
    return CalibrationFrames(pixels["training"], pixels["validation"], hashlib.sha256(listing.encode()).hexdigest())


def chosen_ids(split: Split, part: Part, count: int, classes: Sequence[str]) -> tuple[str, ...]:
    """Choose count frames of a part in proportion to the classes, spread over the groups; all if they are fewer.

    Raises: DataError if the training part lacks a class, or count is below PER_CLASS for each.
    """
    rows = [row for row in split.rows if row.part == part and row.label in classes]
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    supports = np.bincount(labels, minlength=len(classes))
    absent = [name for name, support in zip(classes, supports, strict=True) if not support]
    if (part == "train" and absent) or not rows:
        raise DataError(
            f"int8 needs {part} frames, and the split has none of {absent[0]!r} ({len(absent)} such classes)",
            fix="export without --int8, or train on a split that has them: gi-edge data split",
        )
    least = int(np.minimum(supports, PER_CLASS).sum())
    if part == "train" and count < least:
        raise DataError(
            f"{count} calibration frames are too few for {len(classes)} classes: {PER_CLASS} of each are needed",
            fix=f"--calibration-frames {least}",
        )
    ids = [row.frame for row in rows]
    groups = [row.group or row.frame for row in rows]
    order = [hashlib.sha256(frame.encode()).hexdigest() for frame in ids]
    return tuple(ids[row] for row in sample_rows(labels, groups, order, min(count, len(ids)), PER_CLASS))


def _frames(index: Index, ids: Sequence[str], part: str) -> tuple[Frame, ...]:
    known = {frame.id: frame for frame in index.frames}
    missing = [item for item in ids if item not in known]
    if missing:
        raise DataError(
            f"int8 needs {len(ids)} {part} frames, and {len(missing)} of them are not in {index.root}, the first is "
            f"'{missing[0]}'",
            fix="give the folder the adapter was trained on: --data DIR; or export without --int8",
        )
    return tuple(known[item] for item in ids)


def _refuse_held_out(frames: Sequence[Frame], hashes: Sequence[str], held_out: Mapping[str, str], part: str) -> None:
    both = [(frame.id, held_out[item]) for frame, item in zip(frames, hashes, strict=True) if item in held_out]
    if both:
        raise DataError(
            f"{len(both)} {part} frames for int8 are test frames, byte for byte; the first: '{both[0][0]}' is "
            f"'{both[0][1]}'",
            fix="split so that equal files share a part, gi-edge data split, and train on it; or leave --int8 out",
        )
