"""The GPU of this machine, asked of the driver itself; imports nothing of weight."""

from __future__ import annotations

import ctypes
import uuid
from dataclasses import dataclass

from gi_edge.runtime.session import has_cuda_device

# CUdevice_attribute of cuda.h
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True)
class CudaDevice:
    """The first GPU that the driver shows."""

    name: str
    compute_capability: str
    """Such as "8.6"."""


def cuda_device() -> CudaDevice | None:
    """Return the first GPU, or None where the driver is absent or shows none."""
    if not has_cuda_device():
        return None
    driver = ctypes.CDLL("libcuda.so.1")
    device, major, minor = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    )
    return None if failed else CudaDevice(name.value.decode(), f"{major.value}.{minor.value}")


def cuda_device_uuid() -> str | None:
    """Return the identity of the first GPU as NVML writes it after "GPU-"; None where there is none."""
    if not has_cuda_device():
        return None
    driver = ctypes.CDLL("libcuda.so.1")
    device, found = ctypes.c_int(0), (ctypes.c_ubyte * 16)()
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetUuid(found, device):
        return None
    return str(uuid.UUID(bytes=bytes(found)))
