"""Label files: CSV with file, label and optionally group and part, in the forms that datasets come in."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.classnames import class_from_name, class_key
from gi_edge.data.layout import Labelled, Listing
from gi_edge.data.spec import DatasetSpec
from gi_edge.data.split import Part
from gi_edge.errors import DataError, did_you_mean

USUAL_HEADERS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "file name", "image", "image id", "image name", "path", "image path", "frame", "file path"),
    "label": ("label", "class", "class name", "finding", "finding class", "category", "diagnosis", "labels"),
    "group": ("group", "patient", "patient id", "num patient", "video", "video id", "case", "case id"),
    "part": ("part", "split", "set", "set type", "subset"),
}
"""Column to the headers taken for it, the first that is there; case and separators make no difference."""

FOLD_HEADERS = ("fold", "split index")
"""Headers taken for the part in a split file, where no usual one is there."""

DELIMITERS = ",;\t"

PART_NAMES: Mapping[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Spelling of a part, in lower case, to the part."""


@dataclass(frozen=True)
class LabelRow:
    """One labelled file of a table; part is train, val or test, in a split file also a fold."""

    line: int
    file: str
    label: str
    group: str | None
    part: str | None


def labelled_from_table(root: Path, listing: Listing, spec: DatasetSpec, dataset: str) -> tuple[list[Labelled], int]:
    """Return the images that the label file of a dataset lists, and how many of its rows have no label.

    A file under two labels comes twice.

    Raises: DataError if the label file or a column is not there, a row's file is not there or not to be told from
    another, a label is no class of the spec, a part is none, or a file is listed in two groups or parts.
    """
    path = _table_path(root, listing, spec, dataset)
    rows, unlabelled = read_label_rows(root / path, spec)
    labels = {row.label: class_from_name(row.label, spec.classes) for row in rows}
    files = _Files(listing, path.rpartition("/")[0])
    found: dict[tuple[str, str], Labelled] = {}
    missing = []
    for row in rows:
        file, label = files.find(row, root / path), labels[row.label]
        if label is None:
            raise DataError(
                f"{root / path}, line {row.line}: '{row.label}' is no class of spec '{spec.name}' "
                f"({did_you_mean(row.label, spec.classes)})",
                fix=f"correct the label, or list it under classes in a copy of spec '{spec.name}': --spec FILE.toml",
            )
        if file is None:
            missing.append(row)
            continue
        item = Labelled(file, label, row.group, row.part)
        if found.setdefault((file, label), item) != item:
            raise DataError(
                f"{root / path}, line {row.line}: '{row.file}' is listed before, in another group or part",
                fix=f"delete one of its lines in {root / path}",
            )
    if missing:
        raise DataError(
            f"{root / path}: {len(missing)} of {len(rows)} files are not below {root}, the first in line "
            f"{missing[0].line}: '{missing[0].file}'",
            fix=f"put the images below {root}, or delete their lines",
        )
    return list(found.values()), unlabelled


class _Files:
    """Finds the images of a listing by path, by the end of their path, by name or by bare stem."""

    def __init__(self, listing: Listing, table_folder: str) -> None:
        self._beside = f"{table_folder}/" if table_folder else ""
        self._paths: set[str] = set()
        self._ends: dict[str, list[str]] = {}
        for folder, names in sorted(listing.images.items()):
            parent = folder.rpartition("/")[2]
            for name in names:
                path = f"{folder}/{name}" if folder else name
                self._paths.add(path)
                for end in (f"{parent}/{name}", name, name.rpartition(".")[0]):
                    self._ends.setdefault(end, []).append(path)

    def find(self, row: LabelRow, table: Path) -> str | None:
        """Return the path of a row's file, None if there is none. Raises: DataError if there are several."""
        for path in (self._beside + row.file, row.file):
            if path in self._paths:
                return path
        above, _, name = row.file.rpartition("/")
        alike = self._ends.get(f"{above.rpartition('/')[2]}/{name}", []) if above else []
        alike = [path for path in alike if path.endswith(f"/{row.file}")] or alike or self._ends.get(name, [])
        if len(alike) > 1 and row.group is not None:
            alike = [path for path in alike if row.group in path.split("/")[:-1]] or alike
        if len(alike) > 1:
            raise DataError(
                f"{table}, line {row.line}: '{row.file}' may be {alike[0]} or {alike[1]}",
                fix="write the path below the folder of the dataset instead",
            )
        return alike[0] if alike else None


def read_label_rows(path: Path, spec: DatasetSpec) -> tuple[list[LabelRow], int]:
    """Return the labelled rows of a label file in the form of a spec, and how many rows have no label.

    Raises: DataError if the file is not readable, a column is not there, a row has no file, an unknown part, or no
    label where the spec does not say that labels are optional.
    """
    lines, headers = _lines(path, spec.csv_delimiter or DELIMITERS)
    columns = {}
    for name, usual in USUAL_HEADERS.items():
        named = getattr(spec.csv_columns, name)
        columns[name] = _column(name, (named,) if named else usual, headers, path, needed=bool(named))
    unlabelled = _unlabelled(lines, columns)
    if unlabelled and not spec.labels_optional:
        raise _unlabelled_error(path, unlabelled, len(lines))
    rows = _rows(lines, columns, path)
    return [dataclasses.replace(row, part=_part(row.part or "", path, row.line)) for row in rows], len(unlabelled)


def read_split_rows(path: Path, spec: DatasetSpec) -> list[LabelRow]:
    """Read a split file: one of the dataset's authors, one of gi-edge, or one with usual headers.

    The columns that the spec names for official split files are taken before those of its label file, both before
    usual ones. part is train, val, test, "fold-0", … or as the file spells it. A part may come without labels: such
    rows are left out. Raises: as read_label_rows otherwise.
    """
    lines, headers = _lines(path, DELIMITERS + spec.csv_delimiter)
    wanted = {name: [getattr(spec.csv_columns, name), *usual] for name, usual in USUAL_HEADERS.items()}
    wanted["part"] += FOLD_HEADERS
    if spec.official is not None:
        wanted["file"].insert(0, spec.official.file_column)
        wanted["label"].insert(0, spec.official.label_column)
        wanted["part"].insert(0, spec.official.fold_column)
    columns = {name: _column(name, [*filter(None, known)], headers, path) for name, known in wanted.items()}
    return [dataclasses.replace(row, part=_part_or_fold(row.part)) for row in _rows(lines, columns, path)]


def read_table_rows(path: Path, columns: Sequence[str], delimiter: str = "") -> list[list[str]]:
    """Read the named columns of a CSV file, cells stripped, short lines left out. delimiter "": found from the header.

    Raises: DataError if the file is not readable or a column is not there.
    """
    lines, headers = _lines(path, delimiter or DELIMITERS)
    keys = [class_key(header) for header in headers]
    absent = [column for column in columns if class_key(column) not in keys]
    if absent:
        raise DataError(
            f"{path}: no column '{absent[0]}' ({did_you_mean(absent[0], headers)})",
            fix=f"rename the column in {path}, or get the file as its authors deliver it",
        )
    places = [keys.index(class_key(column)) for column in columns]
    return [[line[at].strip() for at in places] for _, line in lines if len(line) > max(places)]


def _table_path(root: Path, listing: Listing, spec: DatasetSpec, dataset: str) -> str:
    if spec.csv_file:
        found = [path for path in listing.tables if path.rpartition("/")[2] == spec.csv_file]
    else:
        found = [path for path in listing.tables if "/" not in path]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"dataset '{dataset}': {len(found)} label files in {root}: {', '.join(found)}",
            fix='name one, csv_file = "NAME.csv", in a spec of your own: --spec FILE.toml',
        )
    raise DataError(
        f"dataset '{dataset}': no {spec.csv_file or '*.csv'} in {root}",
        fix=f"put {spec.csv_file or 'labels.csv'} into {root}, with the columns file,label or file,label,group,part",
    )


def _lines(path: Path, delimiters: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return (line number, cells) of every line that is not blank, and the headers; the commonest delimiter divides."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = next(filter(str.strip, io.StringIO(text)), "")
        reader = csv.reader(io.StringIO(text), delimiter=max(delimiters, key=first.count), strict=True)
        lines = [(reader.line_num, line) for line in reader if any(map(str.strip, line))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a readable CSV file: {error}", fix=f"save {path} as CSV in UTF-8") from error
    if not lines:
        raise DataError(f"{path} is empty", fix="write the columns file,label and one line per image")
    return lines[1:], lines[0][1]


def _unlabelled(lines: Sequence[tuple[int, list[str]]], columns: Mapping[str, int | None]) -> list[int]:
    """Return the numbers of the lines without a label."""
    at = columns["label"]
    return [number for number, line in lines if at is None or at >= len(line) or not line[at].strip()]


def _unlabelled_error(path: Path, unlabelled: Sequence[int], rows: int) -> DataError:
    """Were such rows left out unasked, training would go on without their frames, and nobody would know."""
    count = f" ({len(unlabelled)} of {rows} rows have none)" if len(unlabelled) > 1 else ""
    return DataError(
        f"{path}, line {unlabelled[0]}: a row without a label{count}",
        fix=f"write the label in line {unlabelled[0]}, or delete {'these lines' if count else 'the line'}; if such "
        "rows are meant, labels_optional = true in a spec of your own: --spec FILE.toml",
    )


def _rows(lines: Sequence[tuple[int, list[str]]], columns: Mapping[str, int | None], path: Path) -> list[LabelRow]:
    """Return the labelled rows; part is the cell as it stands."""
    rows = []
    for number, line in lines:
        cells = {name: "" if at is None or at >= len(line) else line[at].strip() for name, at in columns.items()}
        if not cells["label"]:
            continue
        if not cells["file"]:
            raise DataError(f"{path}, line {number}: a label but no file", fix=f"complete or delete line {number}")
        file = cells["file"].replace("\\", "/")
        rows.append(LabelRow(number, file, cells["label"], cells["group"] or None, cells["part"] or None))
    return rows


def _column(
    name: str, wanted: Sequence[str], headers: Sequence[str], path: Path, *, needed: bool = False
) -> int | None:
    """Return the place of the first wanted header that is there, None if none is. File and label are always needed."""
    keys = [_header_key(header) for header in headers]
    found = next((keys.index(key) for key in map(_header_key, wanted) if key in keys), None)
    if found is None and (needed or name in ("file", "label")):
        raise DataError(
            f"{path}: no column '{wanted[0]}' ({did_you_mean(wanted[0], headers)})",
            fix=f'name it, csv_columns = {{ {name} = "HEADER" }}, in a spec of your own: --spec FILE.toml',
        )
    return found


def _header_key(header: str) -> str:
    """Return what "File_Name", "file-name" and "filename" have in common."""
    return class_key(header).replace(" ", "")


def _part_or_fold(cell: str | None) -> str | None:
    if cell is None:
        return None
    return PART_NAMES.get(cell.casefold()) or (f"fold-{cell}" if cell.isdigit() else cell)


def _part(cell: str, path: Path, number: int) -> str | None:
    if cell and cell.casefold() not in PART_NAMES:
        raise DataError(
            f"{path}, line {number}: '{cell}' is no part ({did_you_mean(cell.casefold(), PART_NAMES)})",
            fix="use train, val and test, or leave the column empty",
        )
    return PART_NAMES.get(cell.casefold())
