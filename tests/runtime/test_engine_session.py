"""Engines on a GPU: the order of calls, the sizes, what is refused, on a driver that keeps CUDA's rules."""

from __future__ import annotations

import gc
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from engine_sessions import COMMAND, EXPECTED, PIXELS, SPEC, session_of
from fake_cuda import Driver
from fake_tensorrt import tensorrt_module

from gi_edge.data.preprocess import images_from_pixels
from gi_edge.errors import ArtifactError, DataError, RuntimeUnavailableError
from gi_edge.runtime import cuda as cuda_module
from gi_edge.runtime.cuda import Cuda
from gi_edge.runtime.engine_session import EngineSession, Plan
from gi_edge.runtime.tensorrt import Toolkit, log_of


@pytest.fixture
def driver():
    driver = Driver()
    yield driver
    gc.collect()
    assert driver.faults == []


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_logits_are_the_engines_for_every_size_in_any_order(driver, cuda_graph):
    session = session_of(driver, cuda_graph=cuda_graph)
    for start, stop in ((0, 1), (1, 5), (5, 7), (7, 8), (8, 9), (0, 4)):
        found = session.run(PIXELS[start:stop])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, EXPECTED[start:stop], rtol=1e-5)
    assert (session.runtime, session.provider) == ("tensorrt 10.3.0", "tensorrt")
    assert (session.widens_half, session.placements) == (False, ())


def test_scaled_images_are_made_for_an_engine_that_wants_them(driver):
    session = session_of(driver, input="images")
    expected = images_from_pixels(PIXELS[:2], SPEC).mean(axis=(2, 3)) + np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(session.run(PIXELS[:2]), expected, rtol=1e-5)


def test_pixels_that_are_not_contiguous_are_taken_as_they_are_meant(driver):
    mirrored = PIXELS[:2, ::-1, ::-1]
    np.testing.assert_allclose(session_of(driver).run(mirrored), EXPECTED[:2], rtol=1e-5)


def test_a_run_copies_enqueues_copies_back_and_waits_once(driver):
    session = session_of(driver)
    driver.log.clear()
    session.run(PIXELS[:2])
    assert driver.log == ["cuCtxSetCurrent", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuStreamSynchronize"]


def test_a_graph_is_recorded_after_one_plain_run_and_replayed_while_the_size_stays(driver):
    session = session_of(driver, cuda_graph=True)
    for _ in range(3):
        np.testing.assert_allclose(session.run(PIXELS[:2]), EXPECTED[:2], rtol=1e-5)
    assert (driver.calls["cuStreamBeginCapture"], driver.calls["cuGraphLaunch"]) == (1, 2)
    session.run(PIXELS[:3])
    session.run(PIXELS[:2])
    assert (driver.calls["cuStreamBeginCapture"], driver.calls["cuGraphLaunch"]) == (3, 2)
    assert [kind for kind, _ in driver.live.values()].count("executable") == 1
    assert driver.calls["cuGraphDestroy"] == 3


def test_a_graph_that_cannot_be_recorded_is_told_and_the_stream_goes_on(driver):
    session = session_of(driver, cuda_graph=True, spoils=True)
    for _ in range(2):
        with pytest.raises(RuntimeUnavailableError, match=r"cannot be recorded.*CAPTURE_INVALIDATED") as caught:
            session.run(PIXELS[:1])
        assert caught.value.fix == "leave --cuda-graph out"


def test_a_bound_batch_is_timed_on_the_device_and_copied_once(driver):
    session = session_of(driver)
    bound = session.bind(PIXELS[:2])
    copies = driver.calls["cuMemcpyHtoDAsync"]
    assert [bound.run() for _ in range(3)] == [0.5, 0.5, 0.5]
    assert (bound.clock, driver.calls["cuMemcpyHtoDAsync"] - copies) == ("cuda events", 0)
    np.testing.assert_allclose(bound.logits(), EXPECTED[:2], rtol=1e-5)
    np.testing.assert_allclose(session.run(PIXELS[3:4]), EXPECTED[3:4], rtol=1e-5)
    np.testing.assert_allclose(bound.logits(), EXPECTED[:2], rtol=1e-5)
    bound.close()
    bound.close()
    assert "event" not in [kind for kind, _ in driver.live.values()]


def test_threads_have_contexts_of_their_own_and_get_their_own_answers(driver):
    session = session_of(driver)
    found, together = {}, threading.Barrier(4)

    def work(row):
        together.wait()
        for _ in range(50):
            found.setdefault(row, []).append(session.run(PIXELS[row : row + 1]))

    threads = [threading.Thread(target=work, args=(row,)) for row in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in range(4):
        np.testing.assert_allclose(np.concatenate(found[row]), np.repeat(EXPECTED[row : row + 1], 50, 0), rtol=1e-5)
    streams = [kind for kind, _ in driver.live.values()].count("stream")
    assert 1 <= streams <= 4


def test_callers_one_after_another_share_one_context(driver):
    session = session_of(driver)
    for row in range(5):
        session.run(PIXELS[row : row + 1])
    assert driver.calls["cuStreamCreate"] == 1


@pytest.mark.parametrize(
    ("batch", "count", "command"),
    [([1, 4], 5, "--batch 1:5:5"), ([2, 4], 1, "--batch 1:1:4"), ([1, 4], 0, "--batch 1:1:4"), ([2, 4], 0, "1:1:4")],
)
def test_a_batch_outside_the_profile_names_the_range_and_the_command(driver, batch, count, command):
    session = session_of(driver, batch=batch)
    fills_up = 0 < count < batch[0]  # run does, a batch that is timed is none
    for take in (session.bind,) if fills_up else (session.bind, session.run):
        with pytest.raises(DataError, match=f"a batch of {count} .* takes {batch[0]} to {batch[1]}") as caught:
            take(PIXELS[:count])
        assert f"{command} --force" in caught.value.fix
        assert COMMAND in caught.value.fix


@pytest.mark.parametrize("given", [{}, {"input": "images"}])
@pytest.mark.parametrize("batch", [[4, 4], [3, 8]])
def test_a_batch_that_is_too_small_for_the_engine_is_filled_up_and_the_rest_dropped(driver, batch, given):
    session = session_of(driver, batch=batch, **given)
    filled = session_of(driver, **given)
    for start, stop in ((0, 4), (4, 5), (5, 8), (8, 9)):
        found = session.run(PIXELS[start:stop])
        np.testing.assert_allclose(found, filled.run(PIXELS[start:stop]), rtol=1e-5)
    assert session.largest_batch == batch[1]


@pytest.mark.parametrize("pixels", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)])
def test_pixels_of_another_size_or_type_are_refused(driver, pixels):
    with pytest.raises(DataError, match=r"the engine takes uint8 \[32, 32, 3\]"):
        session_of(driver).run(pixels)


@pytest.mark.parametrize(
    ("told", "error", "match"),
    [
        ({"type": "HALF"}, ArtifactError, "tensor 'pixels' is HALF"),
        ({"input": "x"}, ArtifactError, "has the tensors x, probabilities, logits, not pixels or images and logits"),
        ({"output": "scores"}, ArtifactError, "has the tensors pixels, probabilities, scores"),
        ({"no_room": True}, RuntimeUnavailableError, "no room to run"),
    ],
)
def test_an_engine_that_is_none_of_ours_is_refused(driver, told, error, match):
    with pytest.raises(error, match=match):
        session_of(driver, **told)
    assert (driver.live, driver.faults) == ({}, [])


def test_a_plan_that_does_not_load_says_what_the_runtime_said(driver):
    toolkit = Toolkit("tensorrt", tensorrt_module(driver))
    with pytest.raises(RuntimeUnavailableError, match="magic tag does not match") as caught:
        EngineSession(toolkit, Cuda(driver), Plan(b"cut", SPEC, COMMAND))
    assert caught.value.fix == f"{COMMAND} --force"


def test_an_engine_that_fails_to_run_is_an_error_and_the_next_run_is_too(driver):
    session = session_of(driver, fails=True)
    for number in (1, 2):
        with pytest.raises(RuntimeUnavailableError, match=f"did not run: enqueue {number} failed →") as caught:
            session.run(PIXELS[:1])
        assert caught.value.fix == "gi-edge doctor"


def test_a_log_keeps_the_last_errors_only(driver):
    log = log_of(Toolkit("tensorrt", tensorrt_module(driver)))
    for number in range(10_000):
        log.log("Severity.ERROR", str(number))
        log.log("Severity.WARNING", "never")
    assert list(log.errors) == [str(number) for number in range(9_980, 10_000)]


def test_the_real_bindings_have_what_is_called():
    """Only the names: without a GPU nothing more can be asked of them."""
    real = pytest.importorskip("cuda.bindings.driver", reason="the package cuda-bindings is not installed")
    called = set(re.findall(r'"(cu[A-Z]\w+)"', Path(cuda_module.__file__).read_text()))
    assert len(called) == 27
    assert {name for name in called if not hasattr(real, name)} == set()
    assert {name for name in called if not hasattr(Driver, f"_{name}")} == set()
    mode = "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"
    assert int(getattr(real.CUstreamCaptureMode, mode)) == getattr(Driver.CUstreamCaptureMode, mode)
    assert int(real.CUstream_flags.CU_STREAM_NON_BLOCKING) == 1
    assert int(real.CUresult.CUDA_ERROR_OUT_OF_MEMORY) == 2
