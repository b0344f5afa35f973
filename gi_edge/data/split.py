"""A split: each frame's part, what kind of split that makes it, and its CSV form."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

from pydantic import Field

from gi_edge.config import Value

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
SplitKind = Literal["group", "cluster", "frame"]
CLUSTER_NOUN = "near-duplicate cluster"
_CLUSTER_ID = re.compile(r"cluster-\d{6,}")
_HEADER = ["frame", "label", "group", "part"]
_NO_NEW_PATIENT = "so a score here does not show that the model works on a new patient."
_NO_CHOICE = "so a choice made on validation need not hold for a new patient."


class SplitRow(Value):
    """One frame of a split."""

    frame: str
    label: str
    group: str
    """Empty where it is not known."""
    part: Part


class Split(Value):
    """Every frame's part, sorted by frame id. Made by split_from_rows."""

    group_noun: str
    rows: tuple[SplitRow, ...] = Field(repr=False)

    @property
    def kind(self) -> SplitKind:
        """What the rows show: "frame" if a group is unknown or lies in two parts, "cluster" if groups are clusters."""
        part_of: dict[str, Part] = {}
        for row in self.rows:
            if not row.group or part_of.setdefault(row.group, row.part) != row.part:
                return "frame"
        return "cluster" if are_clusters(part_of) else "group"

    @property
    def fingerprint(self) -> str:
        """sha256 of the CSV form: equal fingerprints are equal splits of equally labelled frames."""
        return hashlib.sha256(csv_from_split(self).encode()).hexdigest()

    @property
    def caution(self) -> str:
        """One sentence: what a score on this split can and cannot show."""
        kind = self.kind
        if kind == "frame":
            return f"Frame-level split{self._shared()}"
        groups = {row.group for row in self.rows if row.part == "test"}
        held = f"{_count(len(groups), self.group_noun)} that training never saw"
        unseen = f"Split by {self.group_noun}: the test part holds {held}"
        if kind == "group":
            return f"{unseen}."
        return f"{unseen}, but no video or patient is known and one patient can be in both, {_NO_NEW_PATIENT}"

    def ids(self, part: Part) -> tuple[str, ...]:
        """Return the frame ids of a part."""
        return tuple(row.frame for row in self.rows if row.part == part)

    def groups_of(self, frames: Iterable[str]) -> tuple[str, ...] | None:
        """Return the group of each of these frames, or None if one is not known."""
        group_of = {row.frame: row.group for row in self.rows}
        groups = tuple(group_of[frame] for frame in frames)
        return groups if all(groups) else None

    def counts(self) -> dict[Part, int]:
        """Return the number of frames by part."""
        found = Counter(row.part for row in self.rows)
        return {part: found[part] for part in PARTS}

    def _shared(self) -> str:
        """Return what is known of the groups that cross the parts of a frame-level split, and what follows."""
        trained = {row.group for row in self.rows if row.part == "train" and row.group}
        groups = [row.group for row in self.rows if row.part == "test"]
        noun = self.group_noun
        if not any(row.group for row in self.rows):
            near = "near-copies of training frames can be in the test part"
            return f", no video or patient is known: {near}, {_NO_NEW_PATIENT}"
        seen = [group for group in groups if group in trained]
        text = f": {len(seen)} of {len(groups)} test frames come from "
        unknown = groups.count("")
        if not seen and not unknown:
            val = f"validation shares {noun}s with them or with training"
            return f"{text}a {noun} that training saw, but {val}, {_NO_CHOICE}"
        text += f"{_count(len(set(seen)), noun)} that training saw"
        return f"{text}, {f'and of {unknown} the {noun} is not known, ' if unknown else ''}{_NO_NEW_PATIENT}"


def split_from_rows(rows: Iterable[SplitRow], group_noun: str) -> Split:
    """Sort rows into a split. group_noun says what a group is, unless the rows show clusters or no groups.

    Raises: ValueError if a frame is in two rows.
    """
    ordered = tuple(sorted(rows, key=lambda row: row.frame))
    twice = next((a.frame for a, b in pairwise(ordered) if a.frame == b.frame), None)
    if twice is not None:
        raise ValueError(f"the frame '{twice}' is listed twice")
    groups = {row.group for row in ordered} - {""}
    noun = "frame" if not groups else CLUSTER_NOUN if are_clusters(groups) else group_noun
    return Split(group_noun=noun, rows=ordered)


def csv_from_split(split: Split) -> str:
    """Return the CSV form: columns frame, label, group, part."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows([row.frame, row.label, row.group, row.part] for row in split.rows)
    return buffer.getvalue()


def split_from_csv(text: str, *, group_noun: str) -> Split:
    """Parse the CSV form. Raises: ValueError if it is not of that form."""
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if not lines or lines[0] != _HEADER:
        raise ValueError(f"a split needs the columns {', '.join(_HEADER)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(_HEADER) or line[3] not in PARTS:
            raise ValueError(f"line {number} is not frame, label, group and one of {', '.join(PARTS)}: {line}")
    rows = [SplitRow.model_validate(dict(zip(_HEADER, line, strict=True))) for line in lines[1:]]
    return split_from_rows(rows, group_noun)


def are_clusters(groups: Iterable[str]) -> bool:
    """Return whether all groups are near-duplicate clusters."""
    return all(_CLUSTER_ID.fullmatch(group) for group in groups)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
