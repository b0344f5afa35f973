"""Official protocols: the splits that a dataset is delivered with, as its CSV files list them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from pydantic import Field

from gi_edge.config import Value
from gi_edge.data.classnames import class_key
from gi_edge.data.index import Frame
from gi_edge.data.partition import SplitSettings, groups_of_frames, held_out
from gi_edge.data.split import PARTS, Part, Split, SplitRow, split_from_rows
from gi_edge.data.table import PART_NAMES
from gi_edge.errors import DataError, did_you_mean

OfficialRow = tuple[str, str, str]
"""File name, label, and part or fold, as the CSV files spell them."""


class OfficialProtocol(Value):
    """How the rows of an official split are to be read."""

    kind: Literal["parts", "folds"]
    """parts: rows name train, validation, test. folds: each fold is the test part once, the others train."""
    group_noun: str = "group"
    aliases: dict[str, str] = Field(default_factory=dict)
    """Label in the CSV files to class of the dataset, where more differs than case, apostrophes, "_", "-" or spaces."""
    exclude: tuple[str, ...] = ()
    """Classes that the user leaves out; their rows are passed over."""


class OfficialCounts(Value):
    """What of the CSV files came into the splits, and what did not."""

    rows: int
    used: int
    """Files that are in the splits."""
    repeated: int
    """Rows that repeat another row whole."""
    two_labels: int
    """Files dropped because they are listed under two classes."""
    two_parts: int
    """Files dropped because they are listed in two parts or folds."""
    absent: int
    """Listed files that the dataset does not hold."""
    excluded: int
    """Rows of excluded classes."""
    unlisted: int
    """Frames of the protocol's classes that no row names."""


@dataclass(frozen=True)
class OfficialSplits:
    """The splits of a protocol."""

    splits: dict[str, Split]
    """"official" for parts; "fold-0", "fold-1", … for folds, where the fold of that position, by name, tests."""
    classes: tuple[str, ...]
    """Classes that the protocol uses, in the order of the dataset's."""
    counts: OfficialCounts


@dataclass(frozen=True)
class _Listed:
    """One file of the protocol that the dataset holds."""

    frame: Frame
    label: str
    where: str


def splits_from_official(
    frames: Sequence[Frame],
    classes: Sequence[str],
    rows: Iterable[OfficialRow],
    protocol: OfficialProtocol,
    settings: SplitSettings,
    clusters: Mapping[str, str] | None = None,
) -> OfficialSplits:
    """Return the splits that the rows of official CSV files make; frames are found by class and bare file name.

    Where the protocol has no validation part, the holdout fraction of the training frames is carved out of them as
    settings.by says (by video where it is known), never out of the test part.

    Raises: DataError for a label, part or file that fits nothing, for parts without train and test, and if groups or
    clusters are needed to carve the validation part and are absent or too few.
    """
    raw = list(rows)
    named, excluded = _with_classes(raw, classes, protocol)
    distinct = sorted(set(named))
    by_key = _frames_by_key(frames, classes)
    listed, dropped = _listed(distinct, by_key)
    if not listed:
        raise DataError(
            f"none of {len(raw)} rows of the official split names a file of the dataset that can be used",
            fix="check that the CSV files belong to the images in --data DIR",
        )
    labels = {label for _, label, _ in distinct}
    keys = {(label, name) for name, label, _ in distinct}
    counts = OfficialCounts(
        rows=len(raw),
        used=len(listed),
        repeated=len(named) - len(distinct),
        two_labels=dropped["two_labels"],
        two_parts=dropped["two_parts"],
        absent=dropped["absent"],
        excluded=excluded,
        unlisted=sum(label in labels and (label, name) not in keys for label, name in by_key),
    )
    splits = {
        name: _official_split(listed, parts, protocol, settings, clusters)
        for name, parts in _parts_by_split(listed, protocol).items()
    }
    return OfficialSplits(splits, tuple(label for label in classes if label in labels), counts)


def _bare_name(file: str) -> str:
    return PurePosixPath(file.strip().replace("\\", "/")).name


def _with_classes(
    rows: Sequence[OfficialRow], classes: Sequence[str], protocol: OfficialProtocol
) -> tuple[list[OfficialRow], int]:
    """Return rows of bare file name, class of the dataset and part, and how many were of excluded classes."""
    known = {class_key(label): label for label in (*classes, *protocol.exclude)}
    known |= {class_key(alias): label for alias, label in protocol.aliases.items()}
    taken, left_out = set(classes) - set(protocol.exclude), set(protocol.exclude)
    named, excluded = [], 0
    for file, label, where in rows:
        match = known.get(class_key(label))
        if match in taken:
            named.append((_bare_name(file), match, where.strip()))
        elif match in left_out:
            excluded += 1
        else:
            raise DataError(
                f"the official split lists '{file}' as '{label}', no class of the dataset "
                f"({did_you_mean(match or label, classes)})",
                fix=f"add the class folder, name the label in the spec's aliases, or --exclude '{match or label}'",
            )
    return named, excluded


def _frames_by_key(frames: Sequence[Frame], classes: Sequence[str]) -> dict[tuple[str, str], Frame]:
    found: dict[tuple[str, str], Frame] = {}
    for frame in frames:
        other = found.setdefault((classes[frame.label], _bare_name(frame.id)), frame)
        if other is not frame:
            raise DataError(
                f"'{other.id}' and '{frame.id}' have one class and file name, by which official splits name files",
                fix=f"move one of them out of the dataset's folder: {frame.path}",
            )
    return found


def _listed(rows: Sequence[OfficialRow], frames: Mapping[tuple[str, str], Frame]) -> tuple[list[_Listed], Counter[str]]:
    """Return the usable files by frame id, and how many files were dropped for what."""
    places: dict[str, dict[str, list[str]]] = {}
    for name, label, where in rows:
        places.setdefault(name, {}).setdefault(label, []).append(where)
    listed: list[_Listed] = []
    dropped: Counter[str] = Counter()
    for name, wheres in places.items():
        found = {label: frame for label in wheres if (frame := frames.get((label, name)))}
        if found and _is_one_picture(found, wheres):
            dropped["two_labels"] += 1
            continue
        for label, named in wheres.items():
            if len(named) > 1:
                dropped["two_parts"] += 1
            elif label not in found:
                dropped["absent"] += 1
            else:
                listed.append(_Listed(found[label], label, named[0]))
    return sorted(listed, key=lambda item: item.frame.id), dropped


def _is_one_picture(found: Mapping[str, Frame], labels: Collection[str]) -> bool:
    """Return whether a name listed under several classes is one picture, not files that share a name.

    It is one where not each of the classes has such a file, or where the name carries video and frame number.
    """
    if len(labels) < 2:
        return False
    moments = {(frame.group, frame.number) for frame in found.values()}
    numbered = all(frame.group is not None and frame.number is not None for frame in found.values())
    return len(found) < len(labels) or (numbered and len(moments) == 1)


def _parts_by_split(listed: Sequence[_Listed], protocol: OfficialProtocol) -> dict[str, list[Part]]:
    """Return the part of each listed file in each split of the protocol."""
    names = sorted({item.where for item in listed})
    if protocol.kind == "folds":
        if len(names) < 2:
            raise DataError(
                f"the official split names one fold, '{names[0]}'; two are needed",
                fix="give the CSV files of all folds",
            )
        return {
            f"fold-{number}": ["test" if item.where == name else "train" for item in listed]
            for number, name in enumerate(names)
        }
    parts = {name: PART_NAMES.get(name.casefold()) for name in names}
    unknown = [name for name, part in parts.items() if part is None]
    absent = {"train", "test"} - set(parts.values())
    if unknown or absent:
        fault = f"'{unknown[0]}' is no part" if unknown else f"it has no {' and no '.join(sorted(absent))} part"
        raise DataError(
            f"the official split cannot be used: {fault} (found: {', '.join(names)})",
            fix="name the parts train, validation and test, or say that they are folds",
        )
    return {"official": [part for item in listed if (part := parts[item.where]) is not None]}


def _official_split(
    listed: Sequence[_Listed],
    parts: Sequence[Part],
    protocol: OfficialProtocol,
    settings: SplitSettings,
    clusters: Mapping[str, str] | None,
) -> Split:
    if "val" not in parts:
        parts = _with_validation(listed, parts, settings, clusters)
    frames = [item.frame for item in listed]
    groups = groups_of_frames(frames, "cluster" if settings.by == "cluster" else "frame", clusters)
    rows = (
        SplitRow(frame=item.frame.id, label=item.label, group=group, part=part)
        for item, group, part in zip(listed, groups, parts, strict=True)
    )
    return split_from_rows(rows, protocol.group_noun)


def _with_validation(
    listed: Sequence[_Listed], parts: Sequence[Part], settings: SplitSettings, clusters: Mapping[str, str] | None
) -> list[Part]:
    """Return parts in which whole groups of training frames validate. Raises: DataError if there are too few."""
    training = [row for row, part in enumerate(parts) if part == "train"]
    labels = np.unique([listed[row].label for row in training], return_inverse=True)[1]
    groups = groups_of_frames([listed[row].frame for row in training], settings.by, clusters)
    carved = held_out(labels, groups, settings, ("val",))
    if carved is None or len(np.unique(labels[carved == PARTS.index("train")])) <= labels.max():
        raise DataError(
            f"no validation part can be carved out of {len(training)} training frames in {len(set(groups))} groups: "
            "some class would have none left to train on",
            fix="try another --seed, or carve it by frame: --split-by frame",
        )
    result = list(parts)
    for row, part in zip(training, carved, strict=True):
        result[row] = PARTS[part]
    return result
