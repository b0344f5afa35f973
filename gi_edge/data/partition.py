"""Frames into train, validation and test: by video or patient, by near-duplicate cluster, or by frame if named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from gi_edge.config import Value
from gi_edge.data.classnames import class_key, near_name
from gi_edge.data.folds import Rows, fold_numbers, parts_by_frame, parts_by_group
from gi_edge.data.index import Frame
from gi_edge.data.split import CLUSTER_NOUN, PARTS, Part, Split, SplitRow, split_from_rows
from gi_edge.errors import ConfigError, DataError

SplitBy = Literal["auto", "group", "cluster", "frame"]
HOLDOUT_FRACTION = 0.15
"""Share of the frames in the validation and in the test part, each, unless set."""


class SplitSettings(Value):
    """What decides a split, besides the frames."""

    by: SplitBy = "auto"
    """What stays together: auto takes groups where all are known, else near-duplicate clusters; never single frames."""
    seed: int = 0
    holdout_fraction: float = Field(default=HOLDOUT_FRACTION, gt=0, le=0.33)
    """Share of the frames in the validation and in the test part, each; with folds the folds decide."""
    folds: int = 0
    """For folds_from_frames: how many, at least 3 (one tests, one validates, the rest trains)."""

    @field_validator("folds")
    @classmethod
    def _has_three_parts(cls, folds: int) -> int:
        if folds != 0 and folds < len(PARTS):
            raise ValueError("train, validation and test need at least 3 folds; 0 means none")
        return folds


def needs_clusters(frames: Sequence[Frame], by: SplitBy) -> bool:
    """Return whether a split of these frames is by near-duplicate cluster."""
    return by == "cluster" or (by == "auto" and any(frame.group is None for frame in frames))


def split_from_frames(
    frames: Sequence[Frame],
    classes: Sequence[str],
    settings: SplitSettings,
    *,
    group_noun: str,
    clusters: Mapping[str, str] | None = None,
) -> Split:
    """Split frames so that val and test each get about the holdout fraction, stratified by class.

    The outcome depends on ids, labels, groups, clusters and settings, not on the order of the frames.
    clusters: frame id to cluster id, as clusters_from_frames finds them.

    Raises: DataError if groups or clusters are needed and absent, or if a class cannot have a frame in the train and
    in the test part.
    """
    ordered = sorted(frames, key=lambda frame: frame.id)
    groups = groups_of_frames(ordered, settings.by, clusters)
    labels = np.array([frame.label for frame in ordered], dtype=np.int64)
    _check_support(labels, classes)
    held: tuple[Part, ...] = ("test", "val")
    parts = held_out(labels, groups, settings, held)
    if parts is None:
        parts = np.zeros(len(labels), dtype=np.int64)  # the check that follows names the class
    _check_classes(parts, labels, classes, ("train", "test"), _noun(ordered, settings.by, group_noun))
    return _split(ordered, classes, groups, parts, group_noun)


def folds_from_frames(
    frames: Sequence[Frame],
    classes: Sequence[str],
    settings: SplitSettings,
    *,
    group_noun: str,
    clusters: Mapping[str, str] | None = None,
) -> tuple[Split, ...]:
    """Split frames settings.folds times: fold i tests, the next fold validates, the rest trains.

    Every frame is tested once. A class held by fewer groups than folds is absent from some test parts.

    Raises: as split_from_frames, but for a class absent from a test part; ConfigError if settings name no folds.
    """
    folds = settings.folds
    if not folds:
        raise ConfigError("folds are asked for, but the settings name none", fix="--folds 5")
    ordered = sorted(frames, key=lambda frame: frame.id)
    groups = groups_of_frames(ordered, settings.by, clusters)
    labels = np.array([frame.label for frame in ordered], dtype=np.int64)
    _check_support(labels, classes)
    noun = _noun(ordered, settings.by, group_noun)
    units = None if settings.by == "frame" else np.array(groups)
    numbers = fold_numbers(labels, units, folds=folds, seed=settings.seed)
    if numbers is None:
        raise DataError(f"{folds} folds need at least {folds} {noun}s and {folds} frames of a class", fix="--folds 3")
    splits = []
    for test in range(folds):
        parts = np.zeros(len(labels), dtype=np.int64)
        parts[numbers == test] = PARTS.index("test")
        parts[numbers == (test + 1) % folds] = PARTS.index("val")
        _check_classes(parts, labels, classes, ("train",), noun)
        splits.append(_split(ordered, classes, groups, parts, group_noun))
    return tuple(splits)


def groups_of_frames(frames: Sequence[Frame], by: SplitBy, clusters: Mapping[str, str] | None) -> list[str]:
    """Return what each frame's row names as its group, "" where nothing is known; by="frame" asks for nothing.

    Raises: DataError if groups or clusters are asked for and not known for every frame.
    """
    known = sum(frame.group is not None for frame in frames)
    if by == "group" and known < len(frames):
        raise DataError(
            f"split by group: the group of {len(frames) - known} of {len(frames)} frames is not known",
            fix="--split-by cluster (near-duplicates stay together), or name a spec that knows the groups: --spec NAME",
        )
    if known == len(frames) and by != "cluster":
        return [frame.group or "" for frame in frames]
    if clusters is not None:
        absent = [frame.id for frame in frames if frame.id not in clusters]
        if absent:
            raise DataError(
                f"{len(absent)} of {len(frames)} frames are in no near-duplicate cluster, the first is '{absent[0]}'",
                fix="pass clusters_from_frames(frames, progress).by_frame of these frames",
            )
        return [clusters[frame.id] for frame in frames]
    if by == "frame":
        return [frame.group or "" for frame in frames]
    raise DataError(
        f"the group of {len(frames) - known} of {len(frames)} frames is not known, and no clusters are given",
        fix="pass clusters=clusters_from_frames(frames, progress).by_frame, or split by frame: --split-by frame",
    )


def held_out(labels: Rows, groups: Sequence[str], settings: SplitSettings, held: tuple[Part, ...]) -> Rows | None:
    """Return [n] indices into PARTS, the holdout fraction in each of the held parts; None for too few groups."""
    if settings.by == "frame":
        return parts_by_frame(labels, held, fraction=settings.holdout_fraction, seed=settings.seed)
    names: NDArray[np.str_] = np.array(groups)
    return parts_by_group(labels, names, held, fraction=settings.holdout_fraction, seed=settings.seed)


def _split(
    frames: Sequence[Frame], classes: Sequence[str], groups: Sequence[str], parts: Rows, group_noun: str
) -> Split:
    rows = (
        SplitRow(frame=frame.id, label=classes[frame.label], group=group, part=PARTS[part])
        for frame, group, part in zip(frames, groups, parts, strict=True)
    )
    return split_from_rows(rows, group_noun)


def _noun(frames: Sequence[Frame], by: SplitBy, group_noun: str) -> str:
    if by == "frame":
        return "frame"
    return CLUSTER_NOUN if needs_clusters(frames, by) else group_noun


def _check_support(labels: Rows, classes: Sequence[str]) -> None:
    for label, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True):
        if count < len(PARTS):
            near, move = near_name(label, classes), ""
            if near is not None:
                is_same = class_key(near) == class_key(label)
                move = f"move its images to '{near}', "
                near = f"; '{near}' is the same name in another spelling" if is_same else f"; did you mean '{near}'?"
            raise DataError(
                f"class '{label}' has {count} readable image(s); train, validation and test need one each{near or ''}",
                fix=f"{move}add images, or leave it out: --exclude '{label}'",
            )


def _check_classes(parts: Rows, labels: Rows, classes: Sequence[str], needed: tuple[Part, ...], noun: str) -> None:
    for number, label in enumerate(classes):
        absent = [part for part in needed if not np.any(parts[labels == number] == PARTS.index(part))]
        if absent:
            more = "images of other scenes" if noun == CLUSTER_NOUN else f"{noun}s"
            raise DataError(
                f"class '{label}' has no frame in the {absent[0]} part: too few {noun}s hold it",
                fix=f"try another --seed, add {more}, or leave it out: --exclude '{label}'",
            )
