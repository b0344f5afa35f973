"""A CUDA driver and a TensorRT that keep the rules of the real ones, for machines without a GPU.

Work put on a stream is done when somebody waits for it, not before, so an answer that is read too early is wrong here
as there. Memory is real, sizes are checked, and all that was made must be freed once. A capture takes what is
enqueued instead of doing it. The engine computes logits [n, 3] as the mean of each channel of its pixels, plus 1, 2, 3.
"""

from __future__ import annotations

import ctypes
import json
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
        self._next = 0x1000
        self.clock = 0.0
        self.lock = threading.Lock()

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
            free = name in ("cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent")
            if not free and not getattr(self._entered, "context", None):
                return (Result.CUDA_ERROR_INVALID_CONTEXT, None)
            answer = function(*arguments)
            return answer if isinstance(answer, tuple) else (Result.CUDA_SUCCESS, answer)

        return call

    def _cuInit(self, flags):
        assert flags == 0
        return (Result.CUDA_SUCCESS,)

    def _cuDeviceGet(self, index):
        return index

    def _cuDevicePrimaryCtxRetain(self, device):
        return self._made("context", device)

    def _cuDevicePrimaryCtxRelease(self, device):
        handle = next(key for key, (kind, _) in self.live.items() if kind == "context")
        return self._freed(handle, "context")

    def _cuCtxSetCurrent(self, context):
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


class Context:
    """One execution context; enqueues the mean of each channel of the pixels plus 1, 2, 3."""

    def __init__(self, engine):
        self.engine, self.addresses, self.count, self.busy = engine, {}, None, 0

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_input_shape(self, name, shape):
        assert (name, tuple(shape[1:])) == (self.engine.input, self.engine.shapes[name][1:])
        self.count = shape[0]
        return shape[0] in self.engine.shape_range

    def execute_async_v3(self, stream):
        driver, engine = self.engine.driver, self.engine
        assert set(self.addresses) == set(engine.shapes), "every tensor needs an address"
        memory = {name: driver.of(address, "device") for name, address in self.addresses.items()}
        found, count = driver.of(stream, "stream"), self.count
        if engine.fails or count is None:
            return False
        if engine.spoils_captures and found.capturing is not None:
            found.capturing.append("spoilt")
            return True

        def work():
            shape = (count, *engine.shapes[engine.input][1:])
            size = int(np.prod(shape)) * engine.types[engine.input].itemsize
            pixels = memory[engine.input][:size].view(engine.types[engine.input]).reshape(shape)
            axes = (1, 2) if engine.input == "pixels" else (2, 3)
            logits = pixels.astype(np.float32).mean(axis=axes) + np.array([1, 2, 3], np.float32)
            memory["logits"][: logits.nbytes] = logits.view(np.uint8).reshape(-1)
            driver.clock += 0.25 * count

        found.put(work)
        return True


class Engine:
    """A deserialised plan; a plan is JSON here."""

    def __init__(self, driver, text):
        told = json.loads(text)
        self.driver, self.input = driver, told.get("input", "pixels")
        self.smallest, self.largest = told.get("batch", [1, 4])
        self.shape_range = range(self.smallest, self.largest + 1)
        size = told.get("size", 32)
        pixels = (-1, size, size, 3) if self.input == "pixels" else (-1, 3, size, size)
        self.shapes = {self.input: pixels, "probabilities": (-1, 3), told.get("output", "logits"): (-1, 3)}
        self.types = {self.input: np.dtype(np.uint8 if self.input == "pixels" else np.float32)}
        self.type_names = {self.input: told.get("type", "UINT8" if self.input == "pixels" else "FLOAT")}
        self.fails, self.spoils_captures = told.get("fails", False), told.get("spoils", False)
        self.contexts, self.no_room = 0, told.get("no_room", False)
        self.num_io_tensors = len(self.shapes)

    def get_tensor_name(self, index):
        return list(self.shapes)[index]

    def get_tensor_mode(self, name):
        return "in" if name == self.input else "out"

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.type_names.get(name, "FLOAT"))

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def get_tensor_profile_shape(self, name, profile):
        assert (name, profile) == (self.input, 0)
        return [(count, *self.shapes[name][1:]) for count in (self.smallest, self.largest, self.largest)]

    def create_execution_context(self):
        self.contexts += 1
        return None if self.no_room else Context(self)


class Logger:
    def __init__(self):
        pass


def tensorrt_module(driver, version="10.3.0"):
    """A module tensorrt whose engines compute on the fake driver; .runtimes keeps the runtimes that were made."""
    module = SimpleNamespace(__version__=version, ILogger=Logger, runtimes=[], engines=[])
    module.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    class Runtime:
        engine_host_code_allowed = True

        def __init__(self, log):
            self.log = log
            module.runtimes.append(self)

        def deserialize_cuda_engine(self, content):
            assert self.engine_host_code_allowed is False, "host code must be off before an engine is loaded"
            try:
                engine = Engine(driver, content)
            except ValueError:
                self.log.log("Severity.ERROR", "magic tag does not match")
                return None
            module.engines.append(engine)
            return engine

    module.Runtime = Runtime
    return module
