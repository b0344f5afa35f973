"""A CUDA driver that keeps the rules of the real one, for machines without a GPU.

Work put on a stream is done when somebody waits for it, not before, so an answer that is read too early is wrong here
as there. Memory is real, sizes are checked, and all that was made must be freed once. A capture takes what is
enqueued instead of doing it.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from enum import IntEnum
from types import SimpleNamespace

import numpy as np


class Result(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class Stream:
    """Work in order; while capturing, work is kept for the graph."""

    def __init__(self):
        self.waiting, self.capturing = [], None

    def put(self, work):
        (self.waiting if self.capturing is None else self.capturing).append(work)

    def drain(self):
        while self.waiting:
            self.waiting.pop(0)()


class Driver:
    """cuda.bindings.driver as far as it is used. calls counts what was called; log keeps the order."""

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, room=1 << 30):
        self.calls, self.log, self.live, self.room = Counter(), [], {}, room
        self._entered = threading.local()
        self._primary, self._retained = None, 0
        self.refuses = ()
        """What fails with LAUNCH_FAILED, as all that begins so does once a kernel has failed."""
        self.faults = []
        """What was destroyed without a context; a real driver ends the process, or leaks."""
        self._next = 0x1000
        self.clock = 0.0
        self.lock = threading.RLock()  # the garbage collector frees within an allocation

    def _made(self, kind, thing):
        with self.lock:
            self._next += 0x1000
            self.live[self._next] = (kind, thing)
            return self._next

    def of(self, handle, kind):
        found, thing = self.live[int(handle)]
        assert found == kind, f"{found} used as {kind}"
        return thing

    def _freed(self, handle, kind):
        self.of(handle, kind)
        with self.lock:
            del self.live[int(handle)]
        return (Result.CUDA_SUCCESS,)

    def __getattribute__(self, name):
        if not name.startswith("cu"):
            return object.__getattribute__(self, name)
        if name == "cuda":
            raise AttributeError(name)
        function = object.__getattribute__(self, f"_{name}")

        def call(*arguments):
            self.calls[name] += 1
            self.log.append(name)
            free = name.startswith(("cuInit", "cuDevice", "cuCtx"))
            if not free and not self.is_entered():
                return (Result.CUDA_ERROR_INVALID_CONTEXT, None)
            if name.startswith(tuple(self.refuses)):
                return (Result.CUDA_ERROR_LAUNCH_FAILED, None)
            answer = function(*arguments)
            return answer if isinstance(answer, tuple) else (Result.CUDA_SUCCESS, answer)

        return call

    def _cuInit(self, flags):
        assert flags == 0
        return (Result.CUDA_SUCCESS,)

    def _cuDeviceGet(self, index):
        return index

    def is_entered(self):
        """Whether the calling thread has a context that lives."""
        context = getattr(self._entered, "context", 0)
        return bool(context) and context in self.live

    def destroyed(self, thing):
        """Note what is destroyed where no context lives; TensorRT's things call this."""
        if not self.is_entered():
            self.faults.append(f"{thing} destroyed without a context")

    def _cuDevicePrimaryCtxRetain(self, device):
        self._retained += 1
        if self._retained == 1:
            self._primary = self._made("context", device)
        return self._primary

    def _cuDevicePrimaryCtxRelease(self, device):
        self._retained -= 1
        return (Result.CUDA_SUCCESS,) if self._retained else self._freed(self._primary, "context")

    def _cuDevicePrimaryCtxGetState(self, device):
        return (Result.CUDA_SUCCESS, 0, int(self._retained > 0))

    def _cuCtxGetCurrent(self):
        return getattr(self._entered, "context", 0)

    def _cuCtxSetCurrent(self, context):
        if context:
            self.of(context, "context")
        self._entered.context = context
        return (Result.CUDA_SUCCESS,)

    def _cuMemAlloc(self, size):
        if size > self.room:
            return (Result.CUDA_ERROR_OUT_OF_MEMORY, None)
        self.room -= size
        return self._made("device", np.full(size, 0xAB, np.uint8))

    def _cuMemFree(self, memory):
        self.room += len(self.of(memory, "device"))
        return self._freed(memory, "device")

    def _cuMemHostAlloc(self, size, flags):
        assert flags == 0
        buffer = np.full(size, 0xCD, np.uint8)
        self.live[buffer.ctypes.data] = ("host", buffer)
        return buffer.ctypes.data

    def _cuMemFreeHost(self, address):
        return self._freed(address, "host")

    def _cuStreamCreate(self, flags):
        assert flags == 1
        return self._made("stream", Stream())

    def _cuStreamDestroy(self, stream):
        assert not self.of(stream, "stream").waiting, "a stream with work was destroyed"
        return self._freed(stream, "stream")

    def _cuStreamSynchronize(self, stream):
        found = self.of(stream, "stream")
        if found.capturing is not None:
            return (Result.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,)
        found.drain()
        return (Result.CUDA_SUCCESS,)

    def _host(self, address, size):
        """The page-locked bytes at an address; the range must lie within one buffer."""
        for key, (kind, buffer) in self.live.items():
            if kind == "host" and key <= address and address + size <= key + len(buffer):
                return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        raise AssertionError("host memory that is not page-locked, or too small")

    def _cuMemcpyHtoDAsync(self, memory, source, size, stream):
        device = self.of(memory, "device")
        assert size <= len(device)
        host = self._host(source, size)
        self.of(stream, "stream").put(lambda: np.copyto(device[:size], host))
        return (Result.CUDA_SUCCESS,)

    def _cuMemcpyDtoHAsync(self, target, memory, size, stream):
        device = self.of(memory, "device")
        assert size <= len(device)
        host = self._host(target, size)
        self.of(stream, "stream").put(lambda: np.copyto(host, device[:size]))
        return (Result.CUDA_SUCCESS,)

    def _cuEventCreate(self, flags):
        assert flags == 0
        return self._made("event", {})

    def _cuEventDestroy(self, event):
        return self._freed(event, "event")

    def _cuEventRecord(self, event, stream):
        found, kept = self.of(event, "event"), self.of(stream, "stream")
        found.clear()
        found["stream"] = kept
        kept.put(lambda: found.update(at=self.clock))
        return (Result.CUDA_SUCCESS,)

    def _cuEventSynchronize(self, event):
        self.of(event, "event")["stream"].drain()
        return (Result.CUDA_SUCCESS,)

    def _cuEventElapsedTime(self, begin, end):
        return self.of(end, "event")["at"] - self.of(begin, "event")["at"]

    def _cuStreamBeginCapture(self, stream, mode):
        assert mode == 1
        found = self.of(stream, "stream")
        assert not found.waiting, "a capture began before the first run was done"
        found.capturing = []
        return (Result.CUDA_SUCCESS,)

    def _cuStreamEndCapture(self, stream):
        found = self.of(stream, "stream")
        kept, found.capturing = found.capturing, None
        if kept is None or "spoilt" in kept:
            return (Result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, None)
        return self._made("graph", kept)

    def _cuGraphInstantiate(self, graph, flags):
        assert flags == 0
        return self._made("executable", list(self.of(graph, "graph")))

    def _cuGraphDestroy(self, graph):
        return self._freed(graph, "graph")

    def _cuGraphLaunch(self, executable, stream):
        for work in self.of(executable, "executable"):
            self.of(stream, "stream").put(work)
        return (Result.CUDA_SUCCESS,)

    def _cuGraphExecDestroy(self, executable):
        return self._freed(executable, "executable")
