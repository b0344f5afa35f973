"""A pynvml of the tests: one GPU that says what it is told to say."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest


class FakeError(Exception):
    """NVMLError."""


class FakeNvml:
    """The functions of pynvml that gi-edge calls; unset facts raise NVMLError, as an older GPU does."""

    NVMLError = FakeError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, **facts):
        self.facts = {"name": "Fake RTX", "driver": "580.1", "uuids": {}, "count": 1, **facts}
        self.open = 0

    def told(self, name):
        if name not in self.facts:
            raise FakeError(f"{name} is not supported")
        value = self.facts[name]
        return value() if callable(value) else value

    def nvmlInit(self):
        self.told("count")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return self.told("count")

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"handle {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.facts["uuids"]:
            raise FakeError("not found")
        return self.facts["uuids"][uuid]

    def nvmlDeviceGetName(self, handle):
        return self.told("name")

    def nvmlSystemGetDriverVersion(self):
        return self.told("driver")

    def nvmlSystemGetCudaDriverVersion(self):
        return self.told("cuda")

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self.told("capability")

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=self.told("memory"))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self.told("limit")

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):
        return self.told("max_clock")

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self.told("sm_clock" if kind == self.NVML_CLOCK_SM else "memory_clock")

    def nvmlDeviceGetTemperature(self, handle, kind):
        return self.told("temperature")

    def nvmlDeviceGetPowerUsage(self, handle):
        return self.told("power")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self.told("energy")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self.told("reasons")

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self.told("computing")

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self.told("drawing")


def install(monkeypatch: pytest.MonkeyPatch, uuid: str | None = None, **facts) -> FakeNvml:
    """Put a fake in the place of pynvml, on a machine whose CUDA shows the GPU of a uuid."""
    from gi_edge.runtime import nvml

    fake = FakeNvml(**facts)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(nvml, "cuda_device_uuid", lambda: uuid)
    return fake
