"""From a dataset folder to decoded, split frames and training batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

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
from gi_edge_training.augment import augmentation
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


class AugmentedFrames(Dataset[tuple[Tensor, int]]):
    """Training frames, each augmented anew whenever it is read: uint8 [size, size, 3] and class index."""

    def __init__(self, data: TrainingData) -> None:
        self._pixels = data.pixels
        self._labels = data.labels
        self._rows = data.rows("train")
        self._augment = augmentation(data.preprocess.size_px)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        row = self._rows[item]
        image = torch.from_numpy(np.array(self._pixels[row])).permute(2, 0, 1)
        return self._augment(image).permute(1, 2, 0), int(self._labels[row])


def read_training_data(job: TrainJob, progress: Progress) -> TrainingData:
    """Index, decode and split the dataset of a job; with job.split, take the frames and parts of that file.

    Frames decoded by earlier runs come from the frame cache, unless the environment turns it off.

    Raises: DataError if the folder, a class, the groups or the split cannot serve; ConfigError for an unknown spec.
    """
    settings = job.settings
    spec = read_spec(job.spec)
    index = index_from_folder(job.dataset, job.data, spec, job.exclude)
    preprocess = PreprocessSpec(size_px=settings.image_size_px, fit=settings.fit)
    if job.split is not None:
        given = read_split(job.split, group_noun=spec.group_noun)
        index = index_of_split(index, given, str(job.split))
        decoded = decode_frames(index.frames, preprocess, progress, f"decode {job.dataset}", cache_folder())
        split = _readable(given, decoded)
        _check_parts(split, index.classes, job.split)
    else:
        decoded = decode_frames(index.frames, preprocess, progress, f"decode {job.dataset}", cache_folder())
        split = _new_split(decoded, index, settings, progress)
    return TrainingData(spec, index.classes, preprocess, decoded, split)


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


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's order, augmentation and dropout."""
    return seed * 1_000_003 + epoch


def training_loader(data: TrainingData, settings: TrainSettings, epoch: int) -> DataLoader[tuple[Tensor, int]]:
    """Return the batches of an epoch, in an order of its own: every frame once, or all classes equally often.

    The last short batch is kept: small sets need every frame.
    """
    frames = AugmentedFrames(data)
    order = torch.Generator().manual_seed(epoch_seed(settings.seed, epoch))
    if settings.balance != "sampler":
        return DataLoader(frames, batch_size=settings.batch_size, shuffle=True, generator=order)
    labels = data.labels[data.rows("train")]
    chances = (1 / np.bincount(labels))[labels]
    sampler = WeightedRandomSampler(chances.tolist(), num_samples=len(frames), generator=order)
    return DataLoader(frames, batch_size=settings.batch_size, sampler=sampler)
