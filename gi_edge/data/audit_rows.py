"""Labelled frames of the parts of a split, from a split or from the CSVs of an official one; no image is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.classnames import class_from_name
from gi_edge.data.index import Index, group_and_number
from gi_edge.data.layout import Labelled
from gi_edge.data.spec import DatasetSpec
from gi_edge.data.split import Split
from gi_edge.data.table import read_split_rows
from gi_edge.errors import DataError


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One frame as one part of a split lists it."""

    frame: str
    """Frame id or file name, as the split or the CSV gives it."""
    label: str
    group: str | None
    """Video or patient; None where it is not known."""
    number: int | None
    """Number of the frame in its video; None where it is not known."""
    part: str
    file: str = ""
    """What the frame has in common with no other image, if that is not its id: path or bare name."""

    @property
    def key(self) -> str:
        """What makes two rows one file."""
        return self.file or self.frame


def rows_from_split(split: Split, spec: DatasetSpec, index: Index | None = None) -> tuple[AuditRow, ...]:
    """Return the rows of a split. index: of its frames; it knows groups that the split leaves open, and the files.

    Without an index, group and number are read from the file name where the spec has a rule for it, and files are
    told by name where names do not repeat across classes.
    """
    frames = {} if index is None else {frame.id: frame for frame in index.frames}
    rows = []
    for row in split.rows:
        item, frame = Labelled(row.frame, row.label, row.group or None), frames.get(row.frame)
        if index is not None and frame is not None:
            group, number = item.group or frame.group, frame.number
            file = frame.path.relative_to(index.root).as_posix()
        else:
            known = group_and_number(item, spec) if spec.group_from == "file-name" else None
            group, number = known or (item.group, None)
            file = row.frame if spec.names_repeat else item.name
        file = item.name if _is_in_name(number, spec) else file
        rows.append(AuditRow(row.frame, row.label, group, number, row.part, file))
    return tuple(rows)


def rows_from_csv(path: Path, spec: DatasetSpec, part: str | None = None) -> tuple[AuditRow, ...]:
    """Read a split file, see read_split_rows. part: the part that the file is; None: a column of it names the parts.

    Labels are the classes of the spec where they spell one. A file is told by its path or name as the CSV gives it,
    and by label and name where bare names repeat across classes.

    Raises: DataError naming the line, if the file cannot be read, a column is not there or a row is not usable.
    """
    listed = read_split_rows(path, spec)
    labels = {row.label: class_from_name(row.label, spec.classes) or row.label for row in listed}
    rows = []
    for row in listed:
        item = Labelled(row.file, labels[row.label], row.group, part or row.part)
        known = group_and_number(item, spec)
        if known is None:
            raise DataError(
                f"{path}, line {row.line}: '{row.file}' carries no {spec.group_noun} id as spec '{spec.name}' expects",
                fix="correct the name, or use --spec csv (which then knows no groups but those of a column)",
            )
        if item.part is None:
            raise DataError(
                f"{path}, line {row.line}: '{row.file}' is in no part",
                fix="write the part into a column 'part', or give one CSV per part",
            )
        rows.append(AuditRow(row.file, item.label, *known, item.part, _listed_file(item, known[1], spec)))
    if not rows:
        raise DataError(f"{path} lists no labelled frame", fix=f"give a CSV with rows instead of {path}")
    return tuple(rows)


def train_and_test(rows: Sequence[AuditRow]) -> tuple[str, str]:
    """Return the parts that train and test: those of these names, else the first and the last by name.

    Raises: DataError if there is one part only.
    """
    names = sorted({row.part for row in rows})
    if len(names) < 2:
        raise DataError(f"all frames are in part '{names[0]}'", fix="give a split of two or more parts")
    train = "train" if "train" in names else next(name for name in names if name != "test")
    test = "test" if "test" in names else next(name for name in reversed(names) if name != train)
    return train, test


def _listed_file(item: Labelled, number: int | None, spec: DatasetSpec) -> str:
    if _is_in_name(number, spec):
        return item.name
    return f"{item.label}/{item.name}" if spec.names_repeat and item.name == item.path else item.path


def _is_in_name(number: int | None, spec: DatasetSpec) -> bool:
    """Whether the bare name holds video and number, and so names one image."""
    return number is not None and spec.group_from == "file-name"
