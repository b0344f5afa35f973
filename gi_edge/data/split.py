"""Train, validation and test parts: by group where groups are known, else by frame and said so."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.model_selection import StratifiedGroupKFold

from gi_edge.config import Value
from gi_edge.data.index import Frame
from gi_edge.errors import DataError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
_ATTEMPTS = 10
_HEADER = ["frame", "label", "group", "part"]


class SplitRow(Value):
    """One frame of a split."""

    frame: str
    label: str
    group: str
    """Empty where it is not known."""
    part: Part


class Split(Value):
    """Every frame's part, sorted by frame id."""

    kind: Literal["group", "frame"]
    group_noun: str
    rows: tuple[SplitRow, ...] = Field(repr=False)

    @property
    def fingerprint(self) -> str:
        """sha256 of the CSV form: equal fingerprints are equal splits of equally labelled frames."""
        return hashlib.sha256(csv_from_split(self).encode()).hexdigest()

    @property
    def caution(self) -> str:
        """One sentence: what a score on this split can and cannot show."""
        if self.kind == "group":
            groups = len({row.group for row in self.rows if row.part == "test"})
            noun = self.group_noun
            return f"Split by {noun}: the test part holds {groups} {noun}s that training never saw."
        return (
            "Frame-level split, no video or patient is known: near-copies of training frames can be in the test "
            "part, so a score here does not show that the model works on a new patient."
        )

    def ids(self, part: Part) -> tuple[str, ...]:
        """Return the frame ids of a part."""
        return tuple(row.frame for row in self.rows if row.part == part)

    def counts(self) -> dict[Part, int]:
        """Return the number of frames by part."""
        found = Counter(row.part for row in self.rows)
        return {part: found[part] for part in PARTS}


def split_from_frames(
    frames: Sequence[Frame], classes: Sequence[str], *, group_noun: str, seed: int, holdout_fraction: float
) -> Split:
    """Split frames so that val and test each get about holdout_fraction, stratified by class.

    The outcome depends on ids, labels, groups and seed, not on the order of the frames.

    Raises: DataError if a class cannot have a frame in the train and in the test part.
    """
    ordered = sorted(frames, key=lambda frame: frame.id)
    labels = np.array([frame.label for frame in ordered])
    grouped = all(frame.group is not None for frame in ordered)
    _check_support(ordered, labels, classes)
    if grouped:
        parts = _parts_by_group(ordered, labels, seed, holdout_fraction)
    else:
        parts = _parts_by_frame(labels, seed, holdout_fraction)
    _check_classes(parts, labels, classes, group_noun if grouped else "frame")
    rows = tuple(
        SplitRow(
            frame=frame.id,
            label=classes[frame.label],
            group=frame.group or "" if grouped else "",
            part=PARTS[part],
        )
        for frame, part in zip(ordered, parts, strict=True)
    )
    return Split(kind="group" if grouped else "frame", group_noun=group_noun if grouped else "frame", rows=rows)


def csv_from_split(split: Split) -> str:
    """Return the CSV form: columns frame, label, group, part."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows([row.frame, row.label, row.group, row.part] for row in split.rows)
    return buffer.getvalue()


def split_from_csv(text: str, *, group_noun: str) -> Split:
    """Parse the CSV form. Raises: ValueError if it is not of that form."""
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or lines[0] != _HEADER:
        raise ValueError(f"a split needs the columns {', '.join(_HEADER)}")
    rows = tuple(SplitRow.model_validate(dict(zip(_HEADER, line, strict=True))) for line in lines[1:])
    grouped = all(row.group for row in rows)
    return Split(kind="group" if grouped else "frame", group_noun=group_noun if grouped else "frame", rows=rows)


def _parts_by_frame(labels: NDArray[np.int64], seed: int, fraction: float) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    parts = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held = max(1, round(len(members) * fraction))
        parts[members[:held]] = PARTS.index("test")
        parts[members[held : 2 * held]] = PARTS.index("val")
    return parts


def _parts_by_group(
    frames: Sequence[Frame], labels: NDArray[np.int64], seed: int, fraction: float
) -> NDArray[np.int64]:
    """Take the first shuffle and pair of folds that leaves each class in each part; else the nearest to that."""
    groups = np.array([frame.group for frame in frames])
    folds = min(max(3, round(1 / fraction)), len(np.unique(groups)), int(np.bincount(labels).max()))
    if folds < 3:
        return np.zeros(len(labels), dtype=np.int64)  # the check that follows names the class
    best, best_absent = np.zeros(len(labels), dtype=np.int64), len(PARTS) * len(labels)
    for attempt in range(_ATTEMPTS):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer frames than folds; checked below
            held = [fold for _, fold in splitter.split(labels, labels, groups)]
        for test, val in itertools.permutations(range(folds), 2):
            parts = np.zeros(len(labels), dtype=np.int64)
            parts[held[test]], parts[held[val]] = PARTS.index("test"), PARTS.index("val")
            absent = sum(len(np.unique(labels)) - len(np.unique(labels[parts == part])) for part in range(len(PARTS)))
            if absent < best_absent:
                best, best_absent = parts, absent
            if not absent:
                return parts
    return best


def _check_support(frames: Sequence[Frame], labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    for label, count in zip(classes, counts, strict=True):
        if count < len(PARTS):
            raise DataError(
                f"class '{label}' has {count} readable image(s); train, validation and test need one each",
                fix=f"add images, or leave it out: --exclude '{label}'",
            )


def _check_classes(parts: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str], noun: str) -> None:
    for number, label in enumerate(classes):
        absent = [part for part in ("train", "test") if not np.any(parts[labels == number] == PARTS.index(part))]
        if absent:
            raise DataError(
                f"class '{label}' has no frame in the {absent[0]} part: too few {noun}s hold it",
                fix=f"try another --seed, add {noun}s, or leave it out: --exclude '{label}'",
            )
