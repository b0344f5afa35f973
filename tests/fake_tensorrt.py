"""A TensorRT that computes on the driver of fake_cuda: logits [n, 3] are the mean of each channel, plus 1, 2, 3."""

from __future__ import annotations

import itertools
import json
import weakref
from types import SimpleNamespace

import numpy as np


class Context:
    """One execution context; enqueues the mean of each channel of the pixels plus 1, 2, 3."""

    def __init__(self, engine):
        self.engine, self.addresses, self.count, self.busy = engine, {}, None, 0

    def __del__(self):
        self.engine.driver.destroyed("an execution context")

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
            engine.log.log("Severity.ERROR", f"enqueue {next(engine.failed)} failed")
            return False
        if engine.spoils_captures and found.capturing is not None:
            found.capturing.append("spoilt")
            return True

        name, dtype = engine.input, engine.types[engine.input]
        shape = (count, *engine.shapes[name][1:])
        axes = (1, 2) if name == "pixels" else (2, 3)

        def work():  # a graph keeps it, and must not keep the engine
            size = int(np.prod(shape)) * dtype.itemsize
            pixels = memory[name][:size].view(dtype).reshape(shape)
            logits = pixels.astype(np.float32).mean(axis=axes) + np.array([1, 2, 3], np.float32)
            memory["logits"][: logits.nbytes] = logits.view(np.uint8).reshape(-1)
            driver.clock += 0.25 * count

        found.put(work)
        return True


class Engine:
    """A deserialised plan; a plan is JSON here."""

    def __init__(self, driver, log, text):
        self.driver, self.log, self.failed = driver, log, itertools.count(1)
        told = json.loads(text)
        self.input = told.get("input", "pixels")
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

    def __del__(self):
        self.driver.destroyed("an engine")

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
    """A module tensorrt whose engines compute on the fake driver."""
    module = SimpleNamespace(__version__=version, ILogger=Logger)
    module.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    class Runtime:
        engine_host_code_allowed = True

        def __init__(self, log):
            self.log, self.made = log, lambda: None

        def __del__(self):
            driver.destroyed("a runtime")
            if self.made() is not None:
                driver.faults.append("a runtime destroyed before its engine")

        def deserialize_cuda_engine(self, content):
            assert self.engine_host_code_allowed is False, "host code must be off before an engine is loaded"
            try:
                engine = Engine(driver, self.log, content)
            except ValueError:
                self.log.log("Severity.ERROR", "magic tag does not match")
                return None
            self.made = weakref.ref(engine)
            return engine

    module.Runtime = Runtime
    return module
