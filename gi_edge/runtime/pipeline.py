"""Decoding and inference at once: while some batches are computed, the images of the next ones are decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741
Row = NDArray[np.float32] | str
"""Answer of one image, [classes], or why there is none."""
_BATCHES_AHEAD = 1
"""Batches that wait, decoded or being decoded, beside those that are computed; more would only fill the memory."""


@dataclass(frozen=True)
class Lanes:
    """How much runs at once."""

    batch_size: int
    decoders: int
    """Threads that decode; Pillow lets other threads run while it does."""
    inferences: int
    """Batches that the session is given at once: one fills the pauses of the other."""

    @property
    def reads_ahead(self) -> int:
        """Images taken from the source, at most, before the first of them is answered."""
        return self.batch_size * (self.inferences + _BATCHES_AHEAD + 1)


def answers_in_order(
    asked: Iterable[tuple[K, I]],
    decode: Callable[[I], NDArray[np.uint8] | str],
    infer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    lanes: Lanes,
) -> Iterator[tuple[K, Row]]:
    """Yield key and answer of every (key, image) asked, in order, each batch as soon as it and those before are done.

    decode: image → uint8 pixels [size, size, 3], or why there are none; called in several threads.
    infer: pixels [n, size, size, 3] → [n, classes]; called in several threads with 1 to batch_size images.
    asked is read in the caller's thread, lanes.reads_ahead images ahead at most, and no image is kept once decoded.
    What decode or infer raise is raised here, after all batches before it.
    """
    decoders, computers = ThreadPoolExecutor(lanes.decoders), ThreadPoolExecutor(lanes.inferences)
    waiting: deque[Future[list[tuple[K, Row]]]] = deque()

    def answered(batch: list[tuple[K, Future[NDArray[np.uint8] | str]]]) -> list[tuple[K, Row]]:
        decoded = [(key, future.result()) for key, future in batch]
        readable = [pixels for _, pixels in decoded if not isinstance(pixels, str)]
        rows = iter(infer(np.stack(readable))) if readable else iter(())
        return [(key, pixels if isinstance(pixels, str) else next(rows)) for key, pixels in decoded]

    try:
        for batch in _batches(asked, lambda image: decoders.submit(decode, image), lanes.batch_size):
            waiting.append(computers.submit(answered, batch))
            while waiting and (waiting[0].done() or len(waiting) > lanes.inferences + _BATCHES_AHEAD):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:  # an interrupt must not wait for what is still queued
        decoders.shutdown(wait=False, cancel_futures=True)
        for future in waiting:
            future.cancel()
        computers.shutdown(cancel_futures=True)
        decoders.shutdown()


def _batches(
    asked: Iterable[tuple[K, I]], submit: Callable[[I], Future[NDArray[np.uint8] | str]], batch_size: int
) -> Iterator[list[tuple[K, Future[NDArray[np.uint8] | str]]]]:
    """Begin to decode each image when it comes, and yield them in batches."""
    batch: list[tuple[K, Future[NDArray[np.uint8] | str]]] = []
    for key, image in asked:
        batch.append((key, submit(image)))
        del key, image  # else the last one of a batch would be kept until the next is asked for
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
