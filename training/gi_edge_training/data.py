"""From a dataset folder to decoded, split frames."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.data.frame_cache import cache_folder
from gi_edge.data.index import Index, index_from_folder
from gi_edge.data.make_split import splits_from_index
from gi_edge.data.partition import SplitSettings
from gi_edge.data.pixels import DecodedFrames, decode_frames
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.spec import DatasetSpec, read_spec
from gi_edge.data.split import Part, Split, split_from_rows
from gi_edge.data.subset import index_of_split, read_split
from gi_edge.errors import DataError
from gi_edge.progress import Progress
from gi_edge_training.config import TrainJob, TrainSettings


@dataclass(frozen=True)
class TrainingData:
    """Readable frames of a dataset, decoded, and the split of them."""

    spec: DatasetSpec
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    decoded: DecodedFrames
    split: Split

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """[n, size, size, 3], all parts."""
        return self.decoded.pixels

    @property
    def labels(self) -> NDArray[np.int64]:
        """[n] class indices, all parts."""
        return np.array([frame.label for frame in self.decoded.frames], dtype=np.int64)

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """[classes] frames of each class in the training part."""
        return np.bincount(self.labels[self.rows("train")], minlength=len(self.classes))

    @property
    def majority(self) -> int:
        """The most frequent class of the training part."""
        return int(self.class_counts.argmax())

    def rows(self, part: Part) -> NDArray[np.int64]:
        """Return the rows of pixels and labels that belong to a part."""
        ids = set(self.split.ids(part))
        return np.array([row for row, frame in enumerate(self.decoded.frames) if frame.id in ids], dtype=np.int64)

    def held_out_sha256(self) -> dict[str, str]:
        """Return the sha256 of the file of every validation and test frame, by frame id."""
        held_out = {*self.split.ids("val"), *self.split.ids("test")}
        pairs = zip(self.decoded.frames, self.decoded.sha256, strict=True)
        return {frame.id: digest for frame, digest in pairs if frame.id in held_out}


def read_training_data(job: TrainJob, preprocess: PreprocessSpec, progress: Progress) -> TrainingData:
    """Index, decode and split the dataset of a job; with job.split, take the frames and parts of that file.

    Frames decoded by earlier runs come from the frame cache, unless the environment turns it off.

    Raises: DataError if the folder, a class, the groups or the split cannot serve, or if files vanish meanwhile;
    ConfigError for an unknown spec.
    """
    settings, title = job.settings, f"decode {job.dataset}"
    spec = read_spec(job.spec)
    index = index_from_folder(job.dataset, job.data, spec, job.exclude)
    if index.unlabelled:
        progress.say(f"{job.dataset}: {index.unlabelled} row(s) without a label left out")
    if job.split is not None:
        given = read_split(job.split, group_noun=spec.group_noun)
        index = index_of_split(index, given, str(job.split))
        decoded = decode_frames(index.frames, preprocess, progress, title, cache_folder())
        _check_still_there(decoded, job.data)
        split = _readable(given, decoded)
        _check_parts(split, index.classes, job.split)
    else:
        decoded = decode_frames(index.frames, preprocess, progress, title, cache_folder())
        _check_still_there(decoded, job.data)
        split = _new_split(decoded, index, settings, progress)
    return TrainingData(spec, index.classes, preprocess, decoded, split)


def _check_still_there(decoded: DecodedFrames, folder: Path) -> None:
    """Files that vanish while they are read are a lost disk, not a smaller dataset."""
    lost = [item.frame.path for item in decoded.unreadable if not os.path.lexists(item.frame.path)]
    if lost:
        raise DataError(
            f"{len(lost)} images vanished while they were read; the first was {lost[0]}",
            fix=f"bring {folder} back, then run again",
        )


def _readable(given: Split, decoded: DecodedFrames) -> Split:
    """Return a split without the frames that cannot be read."""
    if not decoded.unreadable:
        return given
    left_out = {item.frame.id for item in decoded.unreadable}
    return split_from_rows([row for row in given.rows if row.frame not in left_out], given.group_noun)


def _check_parts(split: Split, classes: Sequence[str], source: Path) -> None:
    empty = [part for part, count in split.counts().items() if not count]
    trained = {row.label for row in split.rows if row.part == "train"}
    absent = [label for label in classes if label not in trained]
    if empty or absent:
        fault = f"its {empty[0]} part is empty" if empty else f"class '{absent[0]}' has no frame in its train part"
        raise DataError(f"{source}: {fault}", fix="make another: gi-edge data split --dataset NAME --seed 1 --force")


def _new_split(decoded: DecodedFrames, index: Index, settings: TrainSettings, progress: Progress) -> Split:
    wanted = SplitSettings(by=settings.split_by, seed=settings.seed, holdout_fraction=settings.holdout_fraction)
    made = splits_from_index(dataclasses.replace(index, frames=decoded.frames), wanted, progress)
    for note in made.notes:
        progress.say(note)
    return made.splits[""]
