"""Training batches that are the same whichever process or worker makes them.

Order and augmentation are decided for the whole batch: the seed of a frame depends on the run's seed, the epoch and the
frame's position in it alone. Each process then takes its part of every batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gi_edge.data.pool import loader_worker_count
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge_training.augment import augmentation
from gi_edge_training.config import TrainSettings

Key = tuple[int, int]
"""Row of a frame, and the seed of its augmentation."""


@dataclass(frozen=True)
class Frames:
    """Decoded training frames."""

    pixels: NDArray[np.uint8]
    """[n, size, size, 3], of all parts."""
    labels: NDArray[np.int64]
    """[n] class indices."""
    rows: NDArray[np.int64]
    """[m] those that train."""
    preprocess: PreprocessSpec


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process takes."""

    index: int = 0
    of: int = 1
    here: int = 1
    """Processes on this machine, which share its processors."""


class Batch(NamedTuple):
    """The part of a batch that one process computes."""

    pixels: Tensor
    """uint8 [n, size, size, 3]."""
    labels: Tensor
    """int64 [n]."""
    counted: int
    """How many of them count: n, or 0 where a batch has fewer frames than there are processes and one stands in."""
    frames: int
    """Frames of the whole batch, over all processes."""


class Batches(Protocol):
    """The batches of an epoch, in order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class AugmentedFrames(Dataset[tuple[Tensor, int]]):
    """Frames by key, each augmented under its own seed: uint8 [size, size, 3] and class index."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._augment = augmentation(frames.preprocess.size_px)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[Key]) -> list[tuple[Tensor, int]]:
        """Return the frames of a batch; the process's own random state, which dropout draws from, is left alone."""
        with torch.random.fork_rng(devices=[]):
            return [self._augmented(*key) for key in keys]

    def _augmented(self, row: int, seed: int) -> tuple[Tensor, int]:
        torch.default_generator.manual_seed(seed)
        image = torch.from_numpy(np.array(self._frames.pixels[row])).permute(2, 0, 1)
        return self._augment(image).permute(1, 2, 0), int(self._frames.labels[row])


class TrainingLoader:
    """Gives the batches of any epoch; worker processes, where there are any, live as long as the loader.

    settings.batch_size counts the frames of all processes. The last short batch is kept: small sets need every frame.
    With fewer frames than smallest it joins the batch before: batch normalisation has no variance of one frame.
    """

    def __init__(
        self, frames: Frames, settings: TrainSettings, device: torch.device, share: Share, smallest: int = 1
    ) -> None:
        self._smallest = smallest
        self._frames = frames
        self._settings = settings
        self._share = share
        self._device = device
        self._keys: list[list[Key]] = []
        workers = loader_worker_count(computes_on_cpu=device.type == "cpu", processes=share.here)
        self._loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            AugmentedFrames(frames),
            batch_sampler=self._keys,  # filled anew for each epoch
            generator=torch.Generator(),  # of the workers' own seeds, which nothing here draws from
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            # Forked workers share the mapped pixels; each computes in one thread, so none waits for a thread that
            # was not forked with it.
            multiprocessing_context="fork" if workers else None,
        )

    def epoch(self, number: int) -> Batches:
        """Return the batches of an epoch, from 1; equal numbers give equal batches."""
        return _Epoch(self, number)

    def batches(self, number: int) -> Iterator[Batch]:
        """Yield this process's part of the batches of an epoch, on the device."""
        keys = self._epoch_keys(number)
        batches = np.split(keys, self._starts()[1:])
        mine = [np.array_split(batch, self._share.of)[self._share.index] for batch in batches]
        stand_in = keys[:1]
        self._keys[:] = [[(int(row), int(seed)) for row, seed in (own if len(own) else stand_in)] for own in mine]
        for (pixels, labels), own, batch in zip(self._loader, mine, batches, strict=True):
            here = pixels.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)
            yield Batch(*here, counted=len(own), frames=len(batch))

    def __len__(self) -> int:
        return len(self._starts())

    def _starts(self) -> list[int]:
        count = len(self._frames.rows)
        starts = list(range(0, count, self._settings.batch_size))
        return starts[:-1] if len(starts) > 1 and count - starts[-1] < self._smallest else starts

    def _epoch_keys(self, number: int) -> NDArray[np.uint64]:
        """Return row and seed, [m, 2], in the order of an epoch: every frame once, or all classes equally often."""
        count = len(self._frames.rows)
        start = epoch_seed(self._settings.seed, number)
        generator = torch.Generator().manual_seed(start)
        if self._settings.balance == "sampler":
            labels = self._frames.labels[self._frames.rows]
            chances = torch.from_numpy((1 / np.bincount(labels))[labels])
            order = torch.multinomial(chances, count, replacement=True, generator=generator)
        else:
            order = torch.randperm(count, generator=generator)
        seeds = np.random.SeedSequence(start % 2**64).generate_state(count, np.uint64)
        return np.stack([self._frames.rows[order.numpy()].astype(np.uint64), seeds], axis=1)


@dataclass(frozen=True)
class _Epoch:
    loader: TrainingLoader
    number: int

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return self.loader.batches(self.number)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch's order, augmentation and dropout."""
    return seed * 1_000_003 + epoch
