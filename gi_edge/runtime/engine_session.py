"""TensorRT and TensorRT for RTX: a plan that runs on the GPU of this machine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge.errors import DataError
from gi_edge.runtime.cuda import Cuda, tried
from gi_edge.runtime.engine_lane import EngineLane
from gi_edge.runtime.loaded_engine import Deserialised, deserialised, loaded_engine
from gi_edge.runtime.session import FLOAT_INPUT, Bound, Placement
from gi_edge.runtime.tensorrt import Toolkit


@dataclass(frozen=True)
class Plan:
    """A serialised engine whose hash was checked, and what else a session needs to know."""

    content: bytes
    scaling: PreprocessSpec
    """Used where the engine takes scaled images."""
    build_command: str
    """What builds it, such as "gi-edge engine polyps --precision fp16"; errors name it."""


class EngineSession:
    """An engine in TensorRT; implements Session.

    run may be called from several threads. Each call has an execution context, a stream and buffers to itself: as many
    are made as there were callers at once, and kept, so concurrent callers cost device memory.
    """

    widens_half = False

    def __init__(self, toolkit: Toolkit, cuda: Cuda, plan: Plan, *, cuda_graph: bool = False) -> None:
        self.runtime = f"{toolkit.name} {toolkit.version}"
        self.provider: str = toolkit.name
        self._cuda = cuda
        self._scaling = plan.scaling
        self._build_command = plan.build_command
        self._cuda_graph = cuda_graph
        cuda.enter()
        self._lock = threading.Lock()
        self._lanes: list[EngineLane] = []
        self._free: list[EngineLane] = []
        made: list[Deserialised] = []
        self.close = weakref.finalize(self, _close, cuda, self._lanes, made)
        """Free the memory; also done when the session is garbage. No call may be under way."""
        try:
            made.append(deserialised(toolkit, plan.content, plan.build_command))
            self._loaded = loaded_engine(toolkit, made[0], plan.build_command)
            self._give_back(self._take())
        except BaseException:
            self.close()
            raise

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Empty: an engine has one place only."""
        return ()

    @property
    def largest_batch(self) -> int:
        """Of the engine's profile."""
        return self._loaded.largest

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes]; scales them if the engine wants that.

        A batch that is too small for the engine is filled up with black frames, whose answers are dropped.

        Raises: DataError if the batch is too large, or the size is not the one that the engine takes.
        """
        missing = self._loaded.smallest - len(pixels) if len(pixels) else 0
        if missing > 0:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        batch = self._batch(pixels)
        with self._lane() as lane:
            lane.put(batch)
            lane.compute(len(batch))
            return lane.logits(len(batch))[: len(batch) - max(missing, 0)]

    def bind(self, pixels: NDArray[np.uint8]) -> Bound:
        """Copy a batch to the device; it keeps a context to itself until it is closed.

        Raises: DataError as run does, and if the batch is too small: it is bound to be timed as it is.
        """
        batch = self._batch(pixels)
        lane = self._take()
        lane.put(batch)
        lane.wait()
        return _BoundBatch(self, lane, len(batch))

    def _batch(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        loaded, count = self._loaded, len(pixels)
        if not loaded.smallest <= count <= loaded.largest:
            wanted = f"{min(max(count, 1), loaded.smallest)}:{max(count, 1)}:{max(count, loaded.largest)}"
            raise DataError(
                f"a batch of {count} was asked for, and the engine takes {loaded.smallest} to {loaded.largest}",
                fix=f"a --batch-size in that range, or {self._build_command} --batch {wanted} --force",
            )
        batch = images_from_pixels(pixels, self._scaling) if loaded.input.name == FLOAT_INPUT else pixels
        if batch.shape[1:] != loaded.input.shape or batch.dtype != loaded.input.dtype:
            raise DataError(
                f"the engine takes {loaded.input.dtype} {list(loaded.input.shape)}, "
                f"found {batch.dtype} {list(batch.shape[1:])}",
                fix="prepare the pixels with the bundle's preprocess",
            )
        return batch

    @contextmanager
    def _lane(self) -> Iterator[EngineLane]:
        lane = self._take()
        try:
            yield lane
        finally:
            self._give_back(lane)

    def _take(self) -> EngineLane:
        self._cuda.enter()
        with self._lock:  # creating a context is not safe beside another creation
            if not self._free:
                lane = EngineLane(self._loaded, self._cuda, cuda_graph=self._cuda_graph)
                self._lanes.append(lane)
                return lane
            return self._free.pop()

    def _give_back(self, lane: EngineLane) -> None:
        with self._lock:
            self._free.append(lane)


class _BoundBatch:
    """A batch on the device; implements Bound."""

    clock: Literal["host", "cuda events"] = "cuda events"

    def __init__(self, session: EngineSession, lane: EngineLane, count: int) -> None:
        self._session: EngineSession | None = session
        self._lane = lane
        self._count = count
        self._cuda = session._cuda
        self._events = (self._cuda.event(), self._cuda.event())

    def run(self) -> float:
        """Compute once; the milliseconds between two events on the device, around the computing alone."""
        self._cuda.enter()
        return self._lane.timed_ms(self._count, *self._events)

    def logits(self) -> NDArray[np.float32]:
        """Return a copy of the answers of the last run."""
        self._cuda.enter()
        return self._lane.logits(self._count)

    def close(self) -> None:
        """Give the context back; a second time does nothing."""
        if self._session is None:
            return
        tried(self._cuda.enter)
        for event in self._events:
            tried(self._cuda.free_event, event)
        self._session._give_back(self._lane)
        self._session = None


def _close(cuda: Cuda, lanes: list[EngineLane], made: list[Deserialised]) -> None:
    """The context goes last: what TensorRT made frees memory in it."""
    with cuda.closing():
        for lane in lanes:
            lane.close()
        for engine in made:
            engine.close()
