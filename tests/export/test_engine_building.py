"""An engine while it is built: progress, interrupts, kills, kept timings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from engines import AMPERE, SETTINGS, graph_of
from onnx import helper

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.engine import EngineTarget, read_engines
from gi_edge.progress import Silent
from gi_edge.runtime.tensorrt import Toolkit
from gi_edge_export.engine.build import build_plan, parse_onnx
from gi_edge_export.engine.config import EngineJob, EngineSettings
from gi_edge_export.engine.run import build_engine
from gi_edge_export.engine.timings import timings_path

pytestmark = pytest.mark.tensorrt
pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install 'gi-edge[tensorrt-rtx]'")


class Watching:
    """A progress that notes what it is told, and may be interrupted."""

    def __init__(self, *, stop=False):
        self.titles, self.steps, self.notes, self.stop = [], 0, set(), stop

    def say(self, text):
        self.titles.append(text)

    @contextmanager
    def task(self, title, total):
        self.titles.append((title, total))
        yield self

    def advance(self, steps=1, note=""):
        if self.stop:
            raise KeyboardInterrupt
        self.steps += steps
        self.notes.add(note)


def test_a_build_shows_its_phases(rtx, bundle):
    progress = Watching()
    build_plan(parse_onnx(rtx, bundle / "model.fp16.onnx"), AMPERE, SETTINGS, "build it", progress)
    ((title, total),) = progress.titles
    assert title == "build it"
    assert 0 < progress.steps <= total
    assert "optimizing graph" in progress.notes


def test_an_interrupt_within_the_build_ends_it_and_leaves_nothing(bundle):
    with pytest.raises(KeyboardInterrupt):
        build_engine(EngineJob(bundle=bundle, precision="fp16", settings=SETTINGS), Watching(stop=True))
    assert not (bundle / "engines").exists()
    read_bundle(bundle)


def test_a_killed_build_leaves_a_whole_bundle_and_the_next_one_succeeds(bundle):
    """Killed once the hidden folder of the build is there."""
    code = "from gi_edge.cli.main import main; main()"
    words = [sys.executable, "-c", code, "engine", str(bundle), "--precision", "fp16", "--sm", "86"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((bundle / "engines").glob("*/.fp16.partial")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert read_engines(read_bundle(bundle)) == ()
    job = EngineJob(bundle=bundle, precision="fp16", settings=EngineSettings(sms=(86,)))
    build_engine(job, Silent())
    assert [engine.entry.precision for engine in read_engines(read_bundle(bundle))] == ["fp16"]
    assert not list((bundle / "engines").glob("*/.*"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_timings_are_kept_per_runtime_and_device(rtx, bundle, tmp_path, monkeypatch):
    """RTX's module stands in for TensorRT's, whose calls it still has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    toolkit = Toolkit("tensorrt", rtx.trt)
    target = EngineTarget(device="Some GPU", compute_capabilities=("8.6",))
    path = timings_path(toolkit, target)
    assert path.relative_to(tmp_path / "cache").as_posix() == f"gi-edge/timings/tensorrt-{rtx.version}-some-gpu.cache"
    parsed = parse_onnx(toolkit, bundle / "model.fp16.onnx")
    plan = build_plan(parsed, target, SETTINGS, "", Silent())
    assert plan.timings
    assert path.read_bytes() == plan.timings


def test_exit_stack_is_closed_by_a_failed_build(rtx, tmp_path):
    """The bar of a build that fails is closed, so the terminal is left in order."""
    closed = []

    class Closing(Watching):
        @contextmanager
        def task(self, title, total):
            with ExitStack() as stack:
                stack.callback(closed.append, title)
                yield self

    weights = [("w", np.ones((4, 4), np.float32))]
    path = graph_of(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], weights)
    with pytest.raises(KeyboardInterrupt):
        build_plan(parse_onnx(rtx, path), AMPERE, SETTINGS, "bar", Closing(stop=True))
    assert closed == ["bar"]
