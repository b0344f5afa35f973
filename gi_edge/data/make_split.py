"""The splits of a dataset as files: by group or near-duplicate cluster, in folds, or as its authors published them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.duplicates import clusters_from_frames
from gi_edge.data.index import Index
from gi_edge.data.official import delivered_splits, has_delivered_parts, official_splits
from gi_edge.data.partition import SplitSettings, folds_from_frames, needs_clusters, split_from_frames
from gi_edge.data.protocol import OfficialCounts
from gi_edge.data.split import Split
from gi_edge.progress import Progress


@dataclass(frozen=True)
class MadeSplits:
    """Splits by the ending of their file's name, and what a reader must know of how they came about."""

    splits: dict[str, Split]
    """"" for a single split, else "-fold-0", "-official", …"""
    notes: tuple[str, ...]


def splits_from_index(
    index: Index,
    settings: SplitSettings,
    progress: Progress,
    official: Path | None = None,
    exclude: Sequence[str] = (),
) -> MadeSplits:
    """Split a dataset. official: folder of its authors' split files, which then decide the test part.

    Parts that the frames are delivered in are kept, with validation carved out of training where there is none,
    unless settings ask for folds or name what stays together. exclude: classes that the index left out.

    Raises: DataError if groups, clusters or the official files cannot serve.
    """
    clusters: Mapping[str, str] | None = None
    notes: list[str] = []
    if needs_clusters(index.frames, settings.by):
        clusters = clusters_from_frames(index.frames, progress, f"near-duplicates {index.name}").by_frame
    if official is not None:
        made = official_splits(index, official, settings, clusters, exclude)
        notes.extend(_official_notes(made.counts, made.classes, index))
        return MadeSplits({f"-{name}": split for name, split in made.splits.items()}, tuple(notes))
    if settings.by == "auto" and not settings.folds:
        if has_delivered_parts(index):
            made = delivered_splits(index, settings, clusters)
            notes.append("the parts are those that the frames are delivered in; --split-by makes others")
            return MadeSplits({"": made.splits["official"]}, tuple(notes))
        if any(frame.part for frame in index.frames):
            notes.append(
                "the parts that frames are delivered in are passed over: they hold no test part for all classes"
            )
    noun = index.spec.group_noun
    if settings.folds:
        folds = folds_from_frames(index.frames, index.classes, settings, group_noun=noun, clusters=clusters)
        return MadeSplits({f"-fold-{number}": split for number, split in enumerate(folds)}, tuple(notes))
    split = split_from_frames(index.frames, index.classes, settings, group_noun=noun, clusters=clusters)
    return MadeSplits({"": split}, tuple(notes))


def _official_notes(counts: OfficialCounts, classes: tuple[str, ...], index: Index) -> list[str]:
    left_out = len(index.classes) - len(classes)
    dropped = {
        "listed under two classes": counts.two_labels,
        "listed in two parts": counts.two_parts,
        "not in the folder": counts.absent,
    }
    told = [f"{count:,} {reason}" for reason, count in dropped.items() if count]
    return [
        f"official split: {counts.used:,} of {counts.rows:,} rows used, {len(classes)} classes"
        + (f", {left_out} class(es) of the folder not in it" if left_out else "")
        + (f"; dropped: {', '.join(told)}" if told else "")
        + (f"; {counts.unlisted:,} frames of these classes are in no row" if counts.unlisted else "")
    ]
