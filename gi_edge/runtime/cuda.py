"""The part of CUDA that running an engine needs: memory, streams, events, graphs.

It goes through the driver's interface of the package cuda-bindings. The runtime's interface brings a CUDA version of
its own, and one of CUDA 13 refuses a driver that serves CUDA 12, such as JetPack 6's. The driver's interface asks the
installed driver for each function by itself, so that fewer can be missing; bindings of CUDA 13 were not tried on one.
The device is the first one; CUDA_VISIBLE_DEVICES chooses another. Its primary context is the one that TensorRT uses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.engine import RuntimeName
from gi_edge.deps import extra
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.device import cuda_driver

_OUT_OF_MEMORY = 2  # CUresult of cuda.h


class Cuda:
    """The first GPU through the driver; driver is the module cuda.bindings.driver."""

    def __init__(self, driver: Any) -> None:  # noqa: ANN401
        self._driver = driver
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", 0)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)

    def enter(self) -> None:
        """Let the calling thread use the device; each thread must, before anything else."""
        self._call("cuCtxSetCurrent", self._context)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Let the thread free, within, whatever was made in the context; then give the context back.

        The thread is left as it was found, unless that was in a context which is gone then: a finaliser runs in any
        thread at any time, in the midst of the calls of another session too. A GPU that failed raises nothing here.
        """
        before = tried(self._call, "cuCtxGetCurrent") or 0
        tried(self.enter)
        try:
            yield
        finally:
            tried(self._call, "cuCtxSetCurrent", 0)
            tried(self._call, "cuDevicePrimaryCtxRelease", self._device)
            if int(before) != int(self._context) or tried(self._call, "cuDevicePrimaryCtxGetState", self._device):
                tried(self._call, "cuCtxSetCurrent", before)

    def device_memory(self, size_bytes: int) -> Any:  # noqa: ANN401
        """Allocate on the device."""
        return self._call("cuMemAlloc", size_bytes)

    def free_device_memory(self, memory: Any) -> None:  # noqa: ANN401
        """Free what device_memory gave."""
        self._call("cuMemFree", memory)

    def host_memory(self, size_bytes: int) -> NDArray[np.uint8]:
        """Allocate page-locked memory, uint8 [size_bytes], which the device copies from and to by itself."""
        address = int(self._call("cuMemHostAlloc", size_bytes, 0))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))

    def free_host_memory(self, memory: NDArray[np.uint8]) -> None:
        """Free what host_memory gave; the array may not be touched again."""
        self._call("cuMemFreeHost", memory.ctypes.data)

    def stream(self) -> Any:  # noqa: ANN401
        """Make a stream that does not wait for the default one."""
        return self._call("cuStreamCreate", 1)  # CU_STREAM_NON_BLOCKING

    def free_stream(self, stream: Any) -> None:  # noqa: ANN401
        """Destroy a stream."""
        self._call("cuStreamDestroy", stream)

    def wait_for(self, stream: Any) -> None:  # noqa: ANN401
        """Return when all work of a stream is done."""
        self._call("cuStreamSynchronize", stream)

    def copy_to_device(self, memory: Any, source: NDArray[np.uint8], stream: Any) -> None:  # noqa: ANN401
        """Enqueue a copy of page-locked bytes."""
        self._call("cuMemcpyHtoDAsync", memory, source.ctypes.data, source.nbytes, stream)

    def copy_to_host(self, target: NDArray[np.uint8], memory: Any, stream: Any) -> None:  # noqa: ANN401
        """Enqueue a copy into page-locked bytes."""
        self._call("cuMemcpyDtoHAsync", target.ctypes.data, memory, target.nbytes, stream)

    def event(self) -> Any:  # noqa: ANN401
        """Make an event that keeps the time."""
        return self._call("cuEventCreate", 0)

    def free_event(self, event: Any) -> None:  # noqa: ANN401
        """Destroy an event."""
        self._call("cuEventDestroy", event)

    def record(self, event: Any, stream: Any) -> None:  # noqa: ANN401
        """Enqueue an event."""
        self._call("cuEventRecord", event, stream)

    def elapsed_ms(self, begin: Any, end: Any) -> float:  # noqa: ANN401
        """Wait for the second event; the milliseconds between the two, to about half a microsecond."""
        self._call("cuEventSynchronize", end)
        return float(self._call("cuEventElapsedTime", begin, end))

    def captured(self, stream: Any, enqueue: Callable[[], None]) -> Any:  # noqa: ANN401
        """Record what enqueue puts on a stream, without running it, as a graph to launch again and again."""
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)
        try:
            enqueue()
        except BaseException:  # a stream that still captures takes no other work; the capture is spoilt as a rule
            graph = tried(self._call, "cuStreamEndCapture", stream)
            if graph is not None and int(graph):
                tried(self._call, "cuGraphDestroy", graph)
            raise
        graph = self._call("cuStreamEndCapture", stream)
        try:
            return self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:  # noqa: ANN401
        """Enqueue a captured graph."""
        self._call("cuGraphLaunch", graph, stream)

    def free_graph(self, graph: Any) -> None:  # noqa: ANN401
        """Destroy a captured graph."""
        self._call("cuGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401
        code, *values = getattr(self._driver, name)(*arguments)
        if int(code) == _OUT_OF_MEMORY:
            raise RuntimeUnavailableError(
                f"the GPU has no memory left ({name})", fix="end other programs on it: nvidia-smi shows them"
            )
        if int(code):
            raise RuntimeUnavailableError(f"CUDA failed: {name} gave {code.name}", fix="gi-edge doctor")
        return values[-1] if values else None  # of the context's state the flags come first


def tried(free: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Call what frees something, and go on if it fails: a GPU that failed lets go of nothing, and the call that it
    failed in has said so; what the others hold must still be freed."""
    try:
        return free(*arguments)
    except RuntimeUnavailableError:
        return None


def open_cuda(runtime: RuntimeName) -> Cuda:
    """Open the first GPU. runtime: whose extra brings the bindings.

    Raises: RuntimeUnavailableError if the driver shows no GPU; MissingDependencyError naming the extra.
    """
    found = cuda_driver()
    if not found.devices:
        raise RuntimeUnavailableError(f"{runtime} needs an NVIDIA GPU: {found.fault}", fix="gi-edge doctor")
    try:
        with extra(runtime):
            from cuda.bindings import driver
    except (ImportError, OSError) as error:
        raise RuntimeUnavailableError(
            f"the package cuda-bindings does not load: {error}", fix="pip install --force-reinstall cuda-bindings"
        ) from error
    return Cuda(driver)
