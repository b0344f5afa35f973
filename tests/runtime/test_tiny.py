"""The small graph that doctor runs, and the engine it builds of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime import onnxruntime
from gi_edge.runtime.device import cuda_device
from gi_edge.runtime.tensorrt import load_toolkit
from gi_edge.runtime.tiny import TINY_GRAPH, TINY_LOGITS, check_tiny, tiny_pixels
from gi_edge.runtime.tiny_engine import plan_from_onnx

_SCRIPT = Path(__file__).parents[1] / "golden" / "write_tiny_graph.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("write_tiny_graph", _SCRIPT)
    assert spec
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_graph_is_small_and_is_the_one_that_its_script_writes(script, tmp_path):
    script.write(tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_bytes() == TINY_GRAPH.read_bytes()
    assert TINY_GRAPH.stat().st_size < 1024


def test_its_answer_is_that_of_numpy_and_of_the_reference_of_onnx(script):
    np.testing.assert_allclose(script.answer(), TINY_LOGITS, rtol=1e-12)
    found = ReferenceEvaluator(str(TINY_GRAPH)).run(None, {"pixels": tiny_pixels()})[0]
    np.testing.assert_allclose(found, TINY_LOGITS, rtol=1e-6)


def test_onnx_runtime_answers_right():
    check_tiny(onnxruntime.open_session(TINY_GRAPH, "cpu"))


class Wrong:
    runtime, provider = "onnxruntime 9", "SomeExecutionProvider"

    def __init__(self, logits):
        self.run = lambda pixels: logits


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((2, 3), np.float32),
        np.array(TINY_LOGITS, np.float32) + 0.01,
        np.array(TINY_LOGITS, np.float32)[::-1],
        np.full((2, 3), np.nan, np.float32),
        np.zeros((1, 3), np.float32),
    ],
)
def test_wrong_numbers_are_found(logits):
    with pytest.raises(RuntimeUnavailableError, match="SomeExecutionProvider runs but computes wrong numbers"):
        check_tiny(Wrong(logits))


@pytest.mark.tensorrt
def test_tensorrt_for_rtx_builds_it_for_another_gpu():
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    toolkit = load_toolkit("tensorrt-rtx")
    assert len(plan_from_onnx(toolkit, TINY_GRAPH.read_bytes(), "SM86")) > 10_000
    with pytest.raises(RuntimeUnavailableError, match="does not take a graph of five nodes"):
        plan_from_onnx(toolkit, b"no graph", "SM86")


@pytest.mark.gpu
@pytest.mark.tensorrt
@pytest.mark.parametrize(("name", "cuda_graph"), [("tensorrt", False), ("tensorrt", True), ("tensorrt-rtx", False)])
def test_an_engine_answers_right_on_a_gpu(name, cuda_graph):
    if cuda_device() is None:
        pytest.skip("no GPU that the driver shows")
    pytest.importorskip(name.replace("-", "_"), reason=f"{name} is not installed")
    from gi_edge.data.preprocess import PreprocessSpec
    from gi_edge.runtime.cuda import open_cuda
    from gi_edge.runtime.engine_session import EngineSession, Plan

    toolkit = load_toolkit(name)
    plan = Plan(plan_from_onnx(toolkit, TINY_GRAPH.read_bytes()), PreprocessSpec(size_px=32), "gi-edge engine x")
    session = EngineSession(toolkit, open_cuda(name), plan, cuda_graph=cuda_graph)
    for _ in range(3):
        check_tiny(session)
        np.testing.assert_allclose(session.run(tiny_pixels()[1:]), TINY_LOGITS[1:], atol=1e-3)
    bound = session.bind(tiny_pixels())
    assert all(0 < bound.run() < 1000 for _ in range(5))
    np.testing.assert_allclose(bound.logits(), TINY_LOGITS, atol=1e-3)
    bound.close()
    session.close()


@pytest.mark.gpu
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_onnx_runtime_answers_right_on_a_gpu(provider):
    if cuda_device() is None:
        pytest.skip("no GPU that the driver shows")
    if onnxruntime.provider_fault(provider):
        pytest.skip(onnxruntime.provider_fault(provider))
    session = onnxruntime.open_session(TINY_GRAPH, provider)
    check_tiny(session)
    bound = session.bind(tiny_pixels())
    bound.run()
    np.testing.assert_allclose(bound.logits(), TINY_LOGITS, atol=1e-3)
    assert session.placements[0].provider == session.provider
