"""Sessions of engines on the fake driver, and what they should answer."""

from __future__ import annotations

import json

import numpy as np
from fake_tensorrt import tensorrt_module

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.runtime.cuda import Cuda
from gi_edge.runtime.engine_session import EngineSession, Plan
from gi_edge.runtime.tensorrt import Toolkit

SPEC = PreprocessSpec(size_px=32)
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
EXPECTED = PIXELS.astype(np.float32).mean(axis=(1, 2)) + np.array([1, 2, 3], np.float32)
COMMAND = "gi-edge engine polyps --precision fp16 --runtime tensorrt"


def session_of(driver, *, cuda_graph=False, **told):
    toolkit = Toolkit("tensorrt", tensorrt_module(driver))
    plan = Plan(json.dumps(told).encode(), SPEC, COMMAND)
    return EngineSession(toolkit, Cuda(driver), plan, cuda_graph=cuda_graph)
