"""What the NVIDIA driver says of a GPU: clocks, heat, power, energy, who else is on it. Clocks are never changed.

Needs the package nvidia-ml-py (module pynvml); without it, or without a driver, there is nothing to say. Meanings and
units are those of NVIDIA's NVML API reference, "Device Queries" and "NvmlClocksEventReasons".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from gi_edge.artifacts.environment import Gpu, GpuState
from gi_edge.runtime.device import cuda_device_uuid

_REASONS: dict[int, str] = {
    0x2: "clocks set by an application",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clock setting",
}
"""Bits of nvmlClocksEventReasons; 0x1, idle, is left out: a GPU between two frames is idle by rights."""
_SETTINGS = 0x2 | 0x10 | 0x100
"""Bits that tell of a choice somebody made, and not of a GPU that had to slow down."""
SLOWING: frozenset[str] = frozenset(text for bit, text in _REASONS.items() if not bit & _SETTINGS)
"""Reasons for which a GPU runs slower than it was set to."""


@dataclass(frozen=True)
class NvmlGpu:
    """The GPU that CUDA shows first, as NVML knows it."""

    nvml: Any
    """The module pynvml, initialised."""
    handle: Any


@contextmanager
def nvml_gpu() -> Iterator[NvmlGpu | None]:
    """Yield the GPU that CUDA shows first; None where there is no NVML, no driver or no GPU."""
    nvml = _module()
    if nvml is None:
        yield None
        return
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        yield None
        return
    try:
        handle = _handle(nvml)
        yield None if handle is None else NvmlGpu(nvml, handle)
    finally:
        nvml.nvmlShutdown()


def gpu_from_nvml(gpu: NvmlGpu) -> Gpu:
    """Describe a GPU, without its states."""
    nvml, handle = gpu.nvml, gpu.handle
    capability = _told(gpu, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    cuda = _told(gpu, nvml.nvmlSystemGetCudaDriverVersion)
    limit = _told(gpu, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    return Gpu(
        name=_text(_told(gpu, lambda: nvml.nvmlDeviceGetName(handle))) or "an NVIDIA GPU",
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        driver=_text(_told(gpu, nvml.nvmlSystemGetDriverVersion)) or "not told",
        cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        memory_bytes=_told(gpu, lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).total)),
        max_sm_clock_mhz=_told(gpu, lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        power_limit_watts=None if limit is None else limit / 1000,
        before=None,
        after=None,
    )


def state_from_nvml(gpu: NvmlGpu, *, computes: bool) -> GpuState:
    """Return the state of this moment. computes: whether this process has work on the GPU."""
    nvml, handle = gpu.nvml, gpu.handle
    return GpuState(
        sm_clock_mhz=_told(gpu, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=_told(gpu, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature_c=_told(gpu, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        power_watts=power_watts(gpu),
        throttle_reasons=throttle_reasons(gpu),
        other_processes=other_processes(gpu, computes=computes),
    )


def throttle_reasons(gpu: NvmlGpu) -> tuple[str, ...] | None:
    """Return why the clocks are lower than they could be, "idle" left out; None where NVML does not tell."""
    # Renamed in driver 535. An older package lacks the newer name, an older driver does not answer to it.
    for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
        ask = getattr(gpu.nvml, name, None)
        bits = None if ask is None else _told(gpu, partial(ask, gpu.handle))
        if bits is not None:
            return tuple(text for bit, text in _REASONS.items() if int(bits) & bit)
    return None


def energy_millijoules(gpu: NvmlGpu) -> int | None:
    """Return the energy drawn since the driver was loaded; None on GPUs without the counter (before Volta, Jetson)."""
    counted: int | None = _told(gpu, lambda: int(gpu.nvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle)))
    return counted


def power_watts(gpu: NvmlGpu) -> float | None:
    """Return the power drawn now."""
    milliwatts = _told(gpu, lambda: int(gpu.nvml.nvmlDeviceGetPowerUsage(gpu.handle)))
    return None if milliwatts is None else milliwatts / 1000


def own_memory_bytes(gpu: NvmlGpu) -> int | None:
    """Return the device memory that this process holds; None where NVML does not tell, as in most containers."""
    running = _told(gpu, lambda: gpu.nvml.nvmlDeviceGetComputeRunningProcesses(gpu.handle)) or []
    used = [process.usedGpuMemory for process in running if process.pid == os.getpid()]
    return int(used[0]) if used and used[0] is not None else None


def other_processes(gpu: NvmlGpu, *, computes: bool) -> int | None:
    """Return how many processes but this one compute on the GPU. computes: whether this one has work on it.

    In a container NVML counts processes by the host's numbers, among which this one cannot be told; where it must be
    there it is taken for one of them. A display server only draws, and is on the GPU of any desktop: it is left out.
    """
    computing = _told(gpu, lambda: gpu.nvml.nvmlDeviceGetComputeRunningProcesses(gpu.handle))
    if computing is None:
        return None
    numbers = {process.pid for process in computing}
    if os.getpid() not in numbers and computes:
        return max(0, len(numbers) - 1)
    return len(numbers - {os.getpid()})


def _module() -> ModuleType | None:
    try:
        import pynvml
    except ImportError:
        return None
    module: ModuleType = pynvml
    return module


def _handle(nvml: Any) -> Any:  # noqa: ANN401
    """Return the handle of CUDA's first GPU: CUDA may count otherwise than NVML, and hide some."""
    uuid = cuda_device_uuid()
    for prefix in ("GPU", "MIG") if uuid else ():
        try:
            return nvml.nvmlDeviceGetHandleByUUID(f"{prefix}-{uuid}")
        except nvml.NVMLError:
            continue
    try:
        return nvml.nvmlDeviceGetHandleByIndex(0) if uuid is None and nvml.nvmlDeviceGetCount() else None
    except nvml.NVMLError:
        return None


def _told(gpu: NvmlGpu, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return an answer, or None where this GPU or driver has none."""
    try:
        return ask()
    except gpu.nvml.NVMLError:
        return None


def _text(value: str | bytes | None) -> str:
    """Decode what older packages return as bytes."""
    return value.decode() if isinstance(value, bytes) else value or ""
