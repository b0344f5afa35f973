"""What the tests of the bench share: sessions that answer as they are told, and quick settings."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.progress import Silent
from gi_edge.runtime.backends import OpenModel
from gi_edge.runtime.session import Backend
from gi_edge_bench.calls import Calls, Subject
from gi_edge_bench.config import BenchJob, BenchSettings, BenchTarget
from gi_edge_bench.frames import dataset_frames

QUICK = BenchSettings(
    backend=Backend(provider="cpu"),
    scenarios=("single-stream", "offline"),
    regions=("host",),
    batch_sizes=(4,),
    warmup_seconds=0,
    minimum_seconds=0.05,
    minimum_count=5,
    idle_gap_ms=0,
)
QUICK_WORDS = (
    *("--minimum-seconds", 0.05, "--minimum-count", 3, "--warmup-seconds", 0.01, "--idle-gap-ms", 0),
    *("--scenario", "single-stream", "--region", "host"),
)


class Fake:
    """A session that answers as it is told, after so many seconds."""

    runtime, provider, widens_half, placements = "fake 1", "FakeProvider", False, ()

    def __init__(self, answer=lambda pixels: np.zeros((len(pixels), 2), np.float32), seconds=0.0):
        self.answer, self.seconds, self.batches = answer, seconds, []
        self.largest_batch = None

    def run(self, pixels):
        self.batches.append(pixels)
        time.sleep(self.seconds)
        return self.answer(pixels)

    def bind(self, pixels):
        return FakeBound(pixels)


class FakeBound:
    """A bound batch whose clock says a quarter of a millisecond, whatever time has passed."""

    clock = "cuda events"

    def __init__(self, pixels):
        self.pixels, self.is_closed = pixels, False
        FakeBound.latest = self

    def run(self):
        assert not self.is_closed
        time.sleep(0.001)
        return 0.25

    def logits(self):
        return np.zeros((len(self.pixels), 2), np.float32)

    def close(self):
        self.is_closed = True


def subject_of(session, **given):
    """A subject of three frames of 32 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    return Subject(session, pixels, PreprocessSpec(size_px=32), **given)


def hungry_graph(path):
    """Write a model whose largest tensor has n to the 24th numbers for n frames: from 4 on no machine has room."""
    nodes = [
        helper.make_node("Shape", ["pixels"], ["count"], end=1),
        helper.make_node("Pow", ["count", "power"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "zero"], ["logits"]),
    ]
    ends = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 4, 4, 3]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
    ]
    weights = [
        numpy_helper.from_array(np.array([24], np.int64), "power"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
    ]
    graph = helper.make_graph(nodes, "hungry", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def calls_lasting(*seconds):
    """Calls that sleep so long, the last duration repeated."""
    made = []

    def run(number):
        pause = seconds[min(len(made), len(seconds) - 1)]
        made.append(number)
        before = time.perf_counter()
        time.sleep(pause)
        return (time.perf_counter() - before) * 1e3

    return Calls(run, "host"), made


def job(workspace, *, frames="dataset", settings=QUICK):
    """A quick job on the bundle of the shared workspace."""
    data = workspace / "data" / "lesions" if frames == "dataset" else None
    target = BenchTarget(bundle=workspace / "bundles" / "lesions", frames=frames, data=data)
    return BenchJob(settings=settings, targets=(target,))


def held_out_subject(workspace):
    """A bundle and its held-out frames."""
    bundle = read_bundle(workspace / "bundles" / "lesions")
    return bundle, dataset_frames(bundle, workspace / "data" / "lesions", Silent())


def opened(bundle, session, precision="fp32"):
    """A session in place of the one of a bundle's model."""
    entry = bundle.model(precision)
    return OpenModel(session, bundle.path / entry.path, entry, None)


def no_gpu():
    """In place of nvml_gpu."""
    return nullcontext(None)
