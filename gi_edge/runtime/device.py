"""The NVIDIA driver and its GPUs, asked of the driver itself; imports nothing of weight."""

from __future__ import annotations

import ctypes
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

# CUdevice_attribute of cuda.h
_MULTIPROCESSORS, _INTEGRATED, _MAJOR, _MINOR = 16, 18, 75, 76
_VERSION_FILES = (Path("/proc/driver/nvidia/version"), Path("/sys/module/nvidia/version"))


@dataclass(frozen=True)
class CudaDevice:
    """One GPU that the driver shows."""

    name: str
    compute_capability: str
    """Such as "8.6"."""
    memory_bytes: int | None = None
    multiprocessors: int | None = None
    is_integrated: bool = False
    """Part of a system's chip, as on a Jetson, whose driver calls many modules by one name, such as "Orin"."""


@dataclass(frozen=True)
class CudaDriver:
    """The NVIDIA driver of this machine, or why there is none."""

    version: str | None
    """Of the kernel module, such as "580.65.06"; None where the system does not tell."""
    cuda: str | None
    """Newest CUDA that it serves, such as "13.0"."""
    devices: tuple[CudaDevice, ...]
    fault: str = ""
    """Why no device is shown; empty if one is."""


def has_cuda_device() -> bool:
    """Return whether the NVIDIA driver is loaded and sees a device; asks the driver, imports nothing."""
    return _started()[2] > 0


def cuda_device() -> CudaDevice | None:
    """Return the first GPU, or None where the driver is absent or shows none."""
    driver, _, count = _started()
    return _device(driver, 0) if driver is not None and count else None


def cuda_device_uuid() -> str | None:
    """Return the identity of the first GPU as NVML writes it after "GPU-" or "MIG-"; None where there is none.

    Of a GPU in parts (MIG), cuDeviceGetUuid gives the whole one's; the newer call, of CUDA 11.4, gives the part's.
    """
    driver, _, count = _started()
    device, found = ctypes.c_int(0), (ctypes.c_ubyte * 16)()
    if driver is None or not count or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    ask = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    return None if ask(found, device) else str(uuid.UUID(bytes=bytes(found)))


def cuda_driver() -> CudaDriver:
    """Describe the driver and all its GPUs."""
    driver, fault, count = _started()
    if driver is None:
        return CudaDriver(_kernel_module(), None, (), fault)
    version = ctypes.c_int(0)
    known = driver.cuDriverGetVersion(ctypes.byref(version)) == 0
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}" if known else None
    devices = tuple(found for index in range(count) if (found := _device(driver, index)) is not None)
    return CudaDriver(_kernel_module(), cuda, devices, fault)


def _started() -> tuple[ctypes.CDLL | None, str, int]:
    """Return the driver's library, why it shows no device, and how many it shows."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, "there is no NVIDIA driver: libcuda.so.1 was not found", 0
    code = driver.cuInit(0)
    if code:
        return driver, f"the NVIDIA driver does not start: {_error_text(driver, code)}", 0
    count = ctypes.c_int(0)
    code = driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return driver, f"the NVIDIA driver shows no GPU{': ' + _error_text(driver, code) if code else ''}", 0
    return driver, "", count.value


def _device(driver: ctypes.CDLL, index: int) -> CudaDevice | None:
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    if driver.cuDeviceGet(ctypes.byref(device), index) or driver.cuDeviceGetName(name, len(name), device):
        return None
    major, minor = (_attribute(driver, attribute, device) for attribute in (_MAJOR, _MINOR))
    if major is None or minor is None:
        return None
    memory = ctypes.c_size_t(0)
    told = driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device) == 0
    return CudaDevice(
        name.value.decode(),
        f"{major}.{minor}",
        memory.value if told else None,
        _attribute(driver, _MULTIPROCESSORS, device),
        bool(_attribute(driver, _INTEGRATED, device)),
    )


def _attribute(driver: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int | None:
    value = ctypes.c_int(0)
    return None if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) else value.value


def _error_text(driver: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(text))
    return f"{text.value.decode()} ({code})" if text.value else f"error {code}"


def _kernel_module() -> str | None:
    """Return the version of the loaded kernel module; a Jetson before JetPack 6 has no such file."""
    for path in _VERSION_FILES:
        try:
            found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if found:
            return found.group()
    return None
