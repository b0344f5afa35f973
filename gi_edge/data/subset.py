"""Parts of an index: some classes of it, or the frames of a split that was made before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gi_edge.data.index import Index
from gi_edge.data.split import Split, split_from_csv
from gi_edge.errors import DataError


def index_of_classes(index: Index, classes: Sequence[str]) -> Index:
    """Return an index of these classes only, in this order. Raises: DataError if one is not there."""
    absent = [label for label in classes if label not in index.classes]
    if absent:
        raise DataError(
            f"{index.root} has the classes {', '.join(index.classes)}; '{absent[0]}' is not one of them",
            fix="give the folder the split or artefact was made from: --data DIR",
        )
    number = {index.classes.index(label): position for position, label in enumerate(classes)}
    frames = tuple(
        dataclasses.replace(frame, label=number[frame.label]) for frame in index.frames if frame.label in number
    )
    return dataclasses.replace(index, classes=tuple(classes), frames=frames)


def read_split(path: Path, *, group_noun: str) -> Split:
    """Read a split's CSV file. Raises: DataError if it is not there or of another form."""
    try:
        return split_from_csv(path.read_text(encoding="utf-8"), group_noun=group_noun)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no split: {error}", fix="make one: gi-edge data split --dataset NAME") from error


def index_of_split(index: Index, split: Split, source: str) -> Index:
    """Return an index of the frames and classes of a split only. source names the split in errors.

    Raises: DataError if a frame is not in the index or has another label there.
    """
    remake = "make the split again from this folder: gi-edge data split --force"
    labels = {row.frame: row.label for row in split.rows}
    known = {frame.id: index.classes[frame.label] for frame in index.frames}
    absent = [frame for frame in labels if frame not in known]
    if absent:
        raise DataError(
            f"{source}: {len(absent)} of {len(labels)} frames are not in {index.root}, the first is '{absent[0]}'",
            fix=remake,
        )
    changed = [frame for frame, label in labels.items() if known[frame] != label]
    if changed:
        raise DataError(
            f"{source}: {len(changed)} frames have another label in {index.root}, the first is '{changed[0]}', "
            f"'{labels[changed[0]]}' in the split and '{known[changed[0]]}' there",
            fix=remake,
        )
    used = set(labels.values())
    kept = index_of_classes(index, [label for label in index.classes if label in used])
    return dataclasses.replace(kept, frames=tuple(frame for frame in kept.frames if frame.id in labels))
