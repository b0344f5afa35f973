"""Labelled frames of the parts of a split, from a split or from the CSVs of an official one; no image is needed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.spec import DatasetSpec
from gi_edge.data.split import Split
from gi_edge.errors import DataError

FILE_HEADERS = frozenset({"file", "filename", "filepath", "frame", "image", "imagename", "imagepath", "path"})
LABEL_HEADERS = frozenset({"category", "class", "classname", "finding", "findingclass", "label", "labels"})
GROUP_HEADERS = frozenset({"group", "patient", "patientid", "video", "videoid"})
"""Header names in lower case, without what is neither letter nor digit: "file-name" and "File_Name" are "filename"."""


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

    @property
    def key(self) -> str:
        """What makes two rows one file: the bare name where it holds video and number, else the whole id."""
        return self.frame if self.group is None or self.number is None else _bare_name(self.frame)


def rows_from_split(split: Split, spec: DatasetSpec) -> tuple[AuditRow, ...]:
    """Return the rows of a split; a group that the split leaves open is read from the file name, as is the number."""
    rows = []
    for row in split.rows:
        group, number = _group_and_number(row.frame, spec) or (None, None)
        rows.append(AuditRow(row.frame, row.label, row.group or group, number, row.part))
    return tuple(rows)


def rows_from_csv(path: Path, part: str, spec: DatasetSpec, *, names_repeat: bool = False) -> tuple[AuditRow, ...]:
    """Read an official split file, ``,`` or ``;`` between columns, as one part.

    Group and number come from the file name by the spec's rule; where it has none, the group comes from a column
    for it, if there is one. names_repeat: file names repeat across classes, as in GastroVision, so that class and
    name together are the frame's id.

    Raises: DataError naming the line, if the file cannot be read, its header is unknown or a row is not usable.
    """
    lines = _lines(path)
    _, header = next(lines, (1, []))
    columns = [_column(header, known) for known in (FILE_HEADERS, LABEL_HEADERS, GROUP_HEADERS)]
    if columns[0] is None or columns[1] is None:
        raise DataError(
            f"{path} line 1: no column for the {'file' if columns[0] is None else 'label'}, found {header}",
            fix=f"put 'filename,label' in line 1 of {path}",
        )
    rows = []
    for number, cells in lines:
        where = f"{path} line {number}"
        name, label = _cell(cells, columns[0]), _cell(cells, columns[1])
        if not name or not label:
            raise DataError(
                f"{where}: no {'label' if name else 'file name'}, found {cells}", fix=f"correct or remove {where}"
            )
        found = _group_and_number(name, spec)
        if found is None:
            raise DataError(
                f"{where}: '{name}' carries no {spec.group_noun} id as spec '{spec.name}' expects",
                fix="correct the name, or use --spec folders (which then knows no groups)",
            )
        group = found[0] or _cell(cells, columns[2]) or None
        rows.append(AuditRow(f"{label}/{name}" if names_repeat else name, label, group, found[1], part))
    if not rows:
        raise DataError(f"{path} lists no frame", fix=f"give a CSV with rows instead of {path}")
    return tuple(rows)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells, blank lines left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", fix=f"check that {path} exists") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}", fix=f"save {path} as UTF-8"
        ) from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        where = f"{path} line {reader.line_num}"
        raise DataError(f"{where}: {error}", fix=f"correct or remove {where}") from error


def _column(header: Sequence[str], known: frozenset[str]) -> int | None:
    return next((i for i, name in enumerate(header) if re.sub(r"[\W_]", "", name).lower() in known), None)


def _cell(cells: Sequence[str], column: int | None) -> str:
    return "" if column is None or column >= len(cells) else cells[column]


def _group_and_number(frame: str, spec: DatasetSpec) -> tuple[str | None, int | None] | None:
    """Return group and number by the spec's rule, both None if it has none; None if the name does not follow it."""
    if spec.group_pattern is None:
        return None, None
    match = re.match(spec.group_pattern, _bare_name(frame))
    if match is None:
        return None
    number = match.groupdict().get("number")
    return match["group"], None if number is None else int(number)


def _bare_name(frame: str) -> str:
    return re.split(r"[/\\]", frame)[-1]
