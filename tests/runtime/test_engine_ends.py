"""What a session of an engine frees and when, and what it does on a GPU that is full or has failed."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from engine_sessions import COMMAND, EXPECTED, PIXELS, SPEC, session_of
from fake_cuda import Driver
from fake_tensorrt import tensorrt_module

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.runtime.cuda import Cuda
from gi_edge.runtime.engine_session import EngineSession, Plan
from gi_edge.runtime.tensorrt import Toolkit


@pytest.fixture
def driver():
    driver = Driver()
    yield driver
    gc.collect()
    assert driver.faults == []


@pytest.mark.parametrize(("refuses", "destroyed"), [((), 1), (("cuStreamEndCapture",), 0)])
def test_a_recording_that_fails_midway_keeps_its_reason_and_leaves_no_graph(driver, refuses, destroyed):
    cuda = Cuda(driver)
    cuda.enter()
    stream = cuda.stream()
    driver.refuses = refuses

    def enqueue():
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        cuda.captured(stream, enqueue)
    assert driver.calls["cuStreamEndCapture"] == 1
    assert driver.calls["cuGraphDestroy"] == destroyed
    assert "graph" not in [kind for kind, _ in driver.live.values()]


@pytest.mark.parametrize("end", ["close", "garbage", "cycle"])
def test_the_engine_goes_before_the_context_does(driver, end):
    session = session_of(driver)
    bound = session.bind(PIXELS[:2])
    bound.run()
    bound.close()
    if end == "close":
        session.close()
        assert (driver.live, driver.is_entered()) == ({}, False)
    elif end == "cycle":
        session.itself = session
    session = bound = None
    gc.collect()
    assert (driver.live, driver.faults) == ({}, [])


def test_the_end_of_a_session_leaves_another_ones_context_to_the_thread(driver):
    other, session = session_of(driver), session_of(driver)
    other._cuda.enter()
    session.close()
    assert driver.is_entered()
    np.testing.assert_allclose(other.run(PIXELS[:1]), EXPECTED[:1], rtol=1e-5)
    other.close()
    assert (driver.live, driver.is_entered()) == ({}, False)


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("end", ["close", "garbage"])
def test_everything_is_freed_once(driver, cuda_graph, end):
    session = session_of(driver, cuda_graph=cuda_graph)
    session.run(PIXELS[:2])
    bound = session.bind(PIXELS[:1])
    bound.run()
    session.run(PIXELS[:2])
    bound.close()
    assert driver.live
    if end == "close":
        session.close()
        session.close()
    del session, bound
    gc.collect()
    assert driver.live == {}
    assert driver.calls["cuMemAlloc"] == driver.calls["cuMemFree"] == 2 * 3
    assert driver.calls["cuMemHostAlloc"] == driver.calls["cuMemFreeHost"] == 2 * 2


def test_the_plan_is_let_go_of_when_it_is_loaded(driver):
    plan = Plan(b"{}", SPEC, COMMAND)
    session = EngineSession(Toolkit("tensorrt", tensorrt_module(driver)), Cuda(driver), plan)
    held = weakref.ref(plan)
    del plan
    assert held() is None
    np.testing.assert_allclose(session.run(PIXELS[:1]), EXPECTED[:1], rtol=1e-5)


@pytest.mark.parametrize("room", [100, 4 * 32 * 32 * 3, 4 * 32 * 32 * 3 + 48])
def test_a_full_gpu_is_told_and_nothing_stays_allocated(room):
    driver = Driver(room)
    with pytest.raises(RuntimeUnavailableError, match=r"no memory left \(cuMemAlloc\)"):
        session_of(driver)
    gc.collect()
    assert driver.live == {}


@pytest.mark.parametrize("end", ["close", "garbage"])
def test_a_gpu_that_failed_is_told_once_and_asked_to_free_everything(driver, end, capsys):
    session = session_of(driver, cuda_graph=True)
    session.run(PIXELS[:1])
    bound = session.bind(PIXELS[:1])
    driver.refuses = ("cuStream", "cuMem", "cuGraph", "cuEvent", "cuDevicePrimary")
    with pytest.raises(RuntimeUnavailableError, match="gave CUDA_ERROR_LAUNCH_FAILED"):
        session.run(PIXELS[:1])
    driver.calls.clear()
    bound.close()
    if end == "close":
        session.close()
    session = bound = None
    gc.collect()
    freed = ("cuEventDestroy", "cuGraphExecDestroy", "cuMemFree", "cuMemFreeHost", "cuStreamDestroy")
    assert [driver.calls[name] for name in (*freed, "cuDevicePrimaryCtxRelease")] == [2, 1, 3, 2, 1, 1]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("refused", ["cuStreamCreate", "cuMemHostAlloc"])
def test_what_failed_at_the_start_is_told_and_not_what_failed_at_the_clearing_up(driver, refused):
    driver.refuses = (refused, "cuStreamSynchronize")
    with pytest.raises(RuntimeUnavailableError, match=f"{refused} gave"):
        session_of(driver)
    assert (driver.live, driver.faults) == ({}, [])


def test_a_call_without_a_context_would_fail_here_as_in_cuda(driver):
    cuda = Cuda(driver)
    with pytest.raises(RuntimeUnavailableError, match="cuMemAlloc gave CUDA_ERROR_INVALID_CONTEXT"):
        cuda.device_memory(16)
