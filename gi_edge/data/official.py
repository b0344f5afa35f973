"""The splits a dataset is delivered with: its authors' CSV files, or the parts its frames were delivered in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gi_edge.data.classnames import class_from_name
from gi_edge.data.index import Index
from gi_edge.data.partition import SplitSettings
from gi_edge.data.protocol import OfficialProtocol, OfficialRow, OfficialSplits, splits_from_official
from gi_edge.data.spec import DatasetSpec, OfficialSplit
from gi_edge.data.table import read_table_rows
from gi_edge.errors import DataError


def official_splits(
    index: Index,
    folder: Path,
    settings: SplitSettings,
    clusters: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
) -> OfficialSplits:
    """Return the official splits of a dataset; folder holds the authors' CSV files, at any depth.

    exclude: classes that the index left out; their rows are passed over.
    Raises: DataError if the spec knows none, a file or column is absent, or a row fits nothing.
    """
    spec = index.spec
    if spec.official is None:
        return delivered_splits(index, settings, clusters)
    left_out = tuple(class_from_name(label, spec.classes) or label for label in exclude)
    protocol = OfficialProtocol(
        kind=spec.official.kind, group_noun=spec.group_noun, aliases=_aliases(spec), exclude=left_out
    )
    rows = official_rows(spec.official, folder)
    return splits_from_official(index.frames, index.classes, rows, protocol, settings, clusters)


def has_delivered_parts(index: Index) -> bool:
    """Return whether every frame is delivered in a part, and some in the training and in the test part."""
    parts = {frame.part for frame in index.frames}
    return None not in parts and {"train", "test"} <= parts


def delivered_splits(
    index: Index, settings: SplitSettings, clusters: Mapping[str, str] | None = None
) -> OfficialSplits:
    """Return the split that the frames are delivered in, by folder or label file. Raises: DataError if in none."""
    rows = [(frame.id, index.classes[frame.label], frame.part) for frame in index.frames if frame.part is not None]
    if not rows:
        raise DataError(
            f"spec '{index.spec.name}' knows no official split, and the frames of '{index.name}' are in no parts",
            fix=f"split by group or near-duplicates: gi-edge data split --dataset {index.name}",
        )
    protocol = OfficialProtocol(kind="parts", group_noun=index.spec.group_noun)
    return splits_from_official(index.frames, index.classes, rows, protocol, settings, clusters)


def official_rows(official: OfficialSplit, folder: Path) -> list[OfficialRow]:
    """Read the authors' CSV files below folder. Raises: DataError if one is absent or of another form."""
    rows: list[OfficialRow] = []
    for where, name in official.files.items():
        path = _only_file(folder, name, official.source)
        columns = [official.file_column, official.label_column, *filter(None, [official.fold_column])]
        for file, label, *fold in read_table_rows(path, columns, official.delimiter):
            if not fold or fold[0] == where:
                rows.append((file, label, where))
    return rows


def _only_file(folder: Path, name: str, source: str) -> Path:
    found = sorted(folder.rglob(name)) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"found {len(found)} files '{name}' below {folder}; the official split needs exactly one",
        fix=f"get it ({source}), and name its folder: --official DIR",
    )


def _aliases(spec: DatasetSpec) -> dict[str, str]:
    return {alias: label for label, aliases in spec.classes.items() for alias in aliases}
