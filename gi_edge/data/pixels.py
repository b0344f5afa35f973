"""Decode many frames once, in parallel, into one array."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gi_edge.data.index import Frame
from gi_edge.data.pool import each_frame
from gi_edge.data.preprocess import PreprocessSpec, UnreadableImageError, pixels_from_image, read_image
from gi_edge.errors import DataError
from gi_edge.progress import Progress


@dataclass(frozen=True)
class Unreadable:
    """A frame that could not be decoded, and why."""

    frame: Frame
    reason: str


@dataclass(frozen=True)
class DecodedFrames:
    """Readable frames and their pixels."""

    frames: tuple[Frame, ...]
    pixels: NDArray[np.uint8]
    """[n, size, size, 3] RGB, row i for frames[i]; in an unnamed temporary file, so it may exceed the memory."""
    unreadable: tuple[Unreadable, ...]


def decode_frames(frames: Sequence[Frame], spec: PreprocessSpec, progress: Progress, title: str) -> DecodedFrames:
    """Decode and resize frames on all cores. Unreadable ones are told, left out and returned by name.

    Raises: DataError if no frame can be read.
    """
    shape = (spec.size_px, spec.size_px, 3)
    with tempfile.TemporaryFile() as file:  # the map keeps it alive; nothing is left behind after a kill
        store = np.memmap(file, np.uint8, "w+", shape=(max(1, len(frames)), *shape))
    readable: list[Frame] = []
    unreadable: list[Unreadable] = []

    def decode(frame: Frame) -> NDArray[np.uint8] | str:
        try:
            return pixels_from_image(read_image(frame.path), spec)
        except UnreadableImageError as error:
            return str(error)

    for frame, outcome in each_frame(decode, frames, progress, title):
        if isinstance(outcome, str):
            unreadable.append(Unreadable(frame, outcome))
            progress.say(f"skipped {frame.id}: {outcome}")
        else:
            store[len(readable)] = outcome
            readable.append(frame)
    if not readable:
        raise DataError(
            f"none of {len(frames)} images could be read"
            + (f"; the first, {unreadable[0].frame.path}: {unreadable[0].reason}" if unreadable else ""),
            fix="check that the files are images and whole",
        )
    if unreadable:
        progress.say(f"skipped {len(unreadable)} unreadable of {len(frames)} images")
    return DecodedFrames(tuple(readable), store[: len(readable)], tuple(unreadable))
