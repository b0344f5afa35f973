"""One execution context of an engine with a stream and buffers of its own: what one caller at a time computes in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.cuda import Cuda, tried
from gi_edge.runtime.loaded_engine import LOGITS, LoadedEngine


class EngineLane:
    """Buffers for the largest batch are made once and stay where they are, so a graph may name them."""

    def __init__(self, loaded: LoadedEngine, cuda: Cuda, *, cuda_graph: bool) -> None:
        self._loaded = loaded
        self._cuda = cuda
        self._wants_graph = cuda_graph
        self._graph: tuple[int, Any] | None = None
        """Batch size and graph. One at a time: TensorRT wants a context per graph where shapes differ."""
        self._memory: dict[str, Any] = {}
        self._pinned: dict[str, NDArray[np.uint8]] = {}
        self._stream: Any = None
        loaded.made.log.errors.clear()
        self._context = loaded.made.engine.create_execution_context()
        if self._context is None:
            raise RuntimeUnavailableError(
                f"the engine has no room to run: {self._told()}",
                fix="end other programs on the GPU: nvidia-smi shows them",
            )
        try:
            self._stream = cuda.stream()
            self._allocate()
        except BaseException:
            self.close()
            raise

    def put(self, batch: NDArray[Any]) -> None:
        """Enqueue the copy of a batch to the device."""
        name = self._loaded.input.name
        waiting = self._pinned[name][: batch.nbytes]
        np.copyto(waiting.view(batch.dtype).reshape(batch.shape), batch)
        self._cuda.copy_to_device(self._memory[name], waiting, self._stream)

    def compute(self, count: int) -> None:
        """Enqueue the graph of the engine for a batch of count; the first one of a size is enqueued plainly, as is any
        without a CUDA graph.

        Raises: RuntimeUnavailableError with what the runtime said.
        """
        if self._graph is not None and self._graph[0] == count:
            self._cuda.launch(self._graph[1], self._stream)
            return
        name = self._loaded.input.name
        self._loaded.made.log.errors.clear()
        if not self._context.set_input_shape(name, (count, *self._loaded.input.shape)):
            raise RuntimeUnavailableError(
                f"the engine takes no batch of {count}: {self._told()}", fix="gi-edge verify BUNDLE"
            )
        self._enqueue()
        if self._wants_graph:
            self._capture(count)

    def logits(self, count: int) -> NDArray[np.float32]:
        """Return a copy of the logits, [count, classes], when all that was enqueued is done."""
        rows = self._pinned[LOGITS][: count * self._loaded.classes * 4]
        self._cuda.copy_to_host(rows, self._memory[LOGITS], self._stream)
        self.wait()
        result: NDArray[np.float32] = rows.view(np.float32).reshape(count, self._loaded.classes).copy()
        return result

    def timed_ms(self, count: int, begin: Any, end: Any) -> float:  # noqa: ANN401
        """Compute once between two events; the milliseconds between them."""
        self._cuda.record(begin, self._stream)
        self.compute(count)
        self._cuda.record(end, self._stream)
        return self._cuda.elapsed_ms(begin, end)

    def wait(self) -> None:
        """Return when all that was enqueued is done."""
        self._cuda.wait_for(self._stream)

    def close(self) -> None:
        """Free everything that the GPU still lets go of; the lane may not be used again."""
        if self._stream is not None:
            tried(self.wait)
        tried(self._drop_graph)
        self._context = None
        for memory in self._memory.values():
            tried(self._cuda.free_device_memory, memory)
        for pinned in self._pinned.values():
            tried(self._cuda.free_host_memory, pinned)
        self._memory.clear()
        self._pinned.clear()
        if self._stream is not None:
            tried(self._cuda.free_stream, self._stream)
            self._stream = None

    def _allocate(self) -> None:
        loaded = self._loaded
        for tensor in (loaded.input, *loaded.outputs):
            self._memory[tensor.name] = self._cuda.device_memory(tensor.nbytes(loaded.largest))
            self._context.set_tensor_address(tensor.name, int(self._memory[tensor.name]))
        self._pinned[loaded.input.name] = self._cuda.host_memory(loaded.input.nbytes(loaded.largest))
        self._pinned[LOGITS] = self._cuda.host_memory(loaded.classes * 4 * loaded.largest)

    def _enqueue(self) -> None:
        self._loaded.made.log.errors.clear()
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeUnavailableError(f"the engine did not run: {self._told()}", fix="gi-edge doctor")

    def _capture(self, count: int) -> None:
        """Record the launches, after one plain run: TensorRT allocates and loads kernels in the first one."""
        self.wait()
        self._drop_graph()
        try:
            self._graph = (count, self._cuda.captured(self._stream, self._enqueue))
        except RuntimeUnavailableError as error:
            raise RuntimeUnavailableError(
                f"the engine cannot be recorded as a CUDA graph: {error.message}", fix="leave --cuda-graph out"
            ) from error

    def _drop_graph(self) -> None:
        if self._graph is not None:
            graph, self._graph = self._graph[1], None
            self._cuda.free_graph(graph)

    def _told(self) -> str:
        return "; ".join(self._loaded.made.log.errors) or "it did not say why"
