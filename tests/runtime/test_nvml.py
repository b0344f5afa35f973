"""What NVML says is passed on in the right units, and what it does not say is None."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from nvml_fake import FakeNvml, install

from gi_edge.runtime.nvml import (
    SLOWING,
    NvmlGpu,
    energy_millijoules,
    gpu_from_nvml,
    nvml_gpu,
    own_memory_bytes,
    state_from_nvml,
    throttle_reasons,
)

WHOLE = {
    "cuda": 13010, "capability": (8, 6), "memory": 8 << 30, "limit": 115_000, "max_clock": 2100, "sm_clock": 1905,
    "memory_clock": 7001, "temperature": 61, "power": 73_400, "energy": 123_456, "reasons": 0x1 | 0x4 | 0x20,
}  # fmt: skip


def process(pid, memory=None):
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


def test_a_gpu_is_described_in_watts_megahertz_and_bytes(monkeypatch):
    fake = install(monkeypatch, **WHOLE, computing=[process(os.getpid()), process(7)], drawing=[process(9)])
    with nvml_gpu() as found:
        gpu, state = gpu_from_nvml(found), state_from_nvml(found, computes=True)
        assert fake.open == 1
        assert energy_millijoules(found) == 123_456
    assert fake.open == 0
    assert (gpu.name, gpu.driver, gpu.cuda, gpu.compute_capability) == ("Fake RTX", "580.1", "13.1", "8.6")
    assert (gpu.memory_bytes, gpu.power_limit_watts, gpu.max_sm_clock_mhz) == (8 << 30, 115.0, 2100)
    assert (state.sm_clock_mhz, state.memory_clock_mhz, state.temperature_c, state.power_watts) == (
        1905,
        7001,
        61,
        73.4,
    )
    assert state.throttle_reasons == ("software power cap", "software thermal slowdown")
    assert state.other_processes == 1  # process 9 draws


def test_what_a_gpu_does_not_tell_is_none(monkeypatch):
    install(monkeypatch, name=b"Old", driver=b"470.1")
    with nvml_gpu() as found:
        gpu, state = gpu_from_nvml(found), state_from_nvml(found, computes=False)
        assert (energy_millijoules(found), own_memory_bytes(found)) == (None, None)
    assert (gpu.name, gpu.driver, gpu.cuda, gpu.memory_bytes) == ("Old", "470.1", None, None)
    assert (state.power_watts, state.other_processes, state.throttle_reasons) == (None, None, None)


@pytest.mark.parametrize(
    ("bits", "words", "slows"),
    [
        (0x0, (), False),
        (0x1, (), False),
        (0x2, ("clocks set by an application",), False),
        (0x8 | 0x40, ("hardware slowdown", "hardware thermal slowdown"), True),
        (0x80, ("hardware power brake",), True),
        (0x100, ("display clock setting",), False),
    ],
)
def test_throttle_reasons(bits, words, slows):
    found = throttle_reasons(NvmlGpu(FakeNvml(reasons=bits), "h"))
    assert found == words
    assert bool(SLOWING & set(found)) is slows


def test_the_newer_name_of_throttle_reasons_is_taken_where_there_is_one():
    fake = FakeNvml(reasons=0x4)
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x20
    assert throttle_reasons(NvmlGpu(fake, "h")) == ("software thermal slowdown",)


def test_the_older_name_is_asked_where_the_driver_does_not_know_the_newer_one():
    fake = FakeNvml(reasons=0x4)
    fake.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: fake.told("function not found")
    assert throttle_reasons(NvmlGpu(fake, "h")) == ("software power cap",)


@pytest.mark.parametrize(
    ("pids", "computes", "others"),
    [([], False, 0), ([1, 2], False, 2), ([1, 2], True, 1), ([os.getpid()], True, 0), ([os.getpid(), 5], True, 1)],
)
def test_this_process_is_none_of_the_others_even_under_a_hosts_number(pids, computes, others):
    gpu = NvmlGpu(FakeNvml(computing=[process(pid) for pid in pids], drawing=[]), "h")
    assert state_from_nvml(gpu, computes=computes).other_processes == others


def test_a_display_server_is_none_of_the_others():
    gpu = NvmlGpu(FakeNvml(computing=[process(os.getpid())], drawing=[process(900)]), "h")
    assert state_from_nvml(gpu, computes=True).other_processes == 0


def test_own_memory_is_that_of_this_process():
    gpu = NvmlGpu(FakeNvml(computing=[process(1, 5), process(os.getpid(), 123)]), "h")
    assert own_memory_bytes(gpu) == 123


@pytest.mark.parametrize(
    ("uuid", "uuids", "handle"),
    [
        (None, {}, "handle 0"),
        ("abc", {"GPU-abc": "second"}, "second"),
        ("abc", {"MIG-abc": "slice"}, "slice"),
        ("abc", {"GPU-other": "first"}, None),
    ],
)
def test_the_gpu_is_the_one_that_cuda_shows_first(monkeypatch, uuid, uuids, handle):
    install(monkeypatch, uuid=uuid, uuids=uuids)
    with nvml_gpu() as found:
        assert (found and found.handle) == handle


def test_without_the_package_or_a_driver_there_is_nothing_to_say(monkeypatch):
    fake = install(monkeypatch)
    del fake.facts["count"]
    with nvml_gpu() as found:
        assert found is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with nvml_gpu() as found:
        assert found is None
