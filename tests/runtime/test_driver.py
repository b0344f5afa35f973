"""What the NVIDIA driver says, and what is said where it is broken."""

from __future__ import annotations

import ctypes

import pytest

from gi_edge.runtime import device
from gi_edge.runtime.device import CudaDevice, cuda_device, cuda_device_uuid, cuda_driver, has_cuda_device


class Library:
    """libcuda as far as it is asked; it fills in what it is handed, as C does."""

    names = (b"NVIDIA GeForce RTX 4090", b"NVIDIA T4")
    capabilities = ((8, 9), (7, 5))

    def __init__(self, init=0, count=2, version=13000, memory=0, sizes=0):
        self.init, self.count, self.version, self.memory, self.sizes = init, count, version, memory, sizes

    def cuInit(self, flags):
        return self.init

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0

    def cuDeviceGet(self, found, index):
        found._obj.value = index
        return 0

    def cuDeviceGetName(self, name, size, found):
        name.value = self.names[found.value]
        return 0

    def cuDeviceGetAttribute(self, value, attribute, found):
        told = {75: self.capabilities[found.value][0], 76: self.capabilities[found.value][1]}
        sizes = {16: (128, 40)[found.value], 18: found.value}
        if attribute in sizes and self.sizes:
            return self.sizes
        value._obj.value = (told | sizes)[attribute]
        return 0

    def cuDeviceTotalMem_v2(self, memory, found):
        memory._obj.value = (24 << 30) >> found.value
        return self.memory

    def cuDeviceGetUuid(self, value, found):
        value[:] = range(16)
        return 0

    def cuGetErrorName(self, code, text):
        text._obj.value = {100: b"CUDA_ERROR_NO_DEVICE", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}.get(code)
        return 0


def install(monkeypatch, library):
    def load(name):
        assert name == "libcuda.so.1"
        if library is None:
            raise OSError(name)
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(device, "_VERSION_FILES", ())


def test_every_gpu_is_described(monkeypatch, tmp_path):
    install(monkeypatch, Library(version=12060))
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024\nGCC version: 12"
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(device, "_VERSION_FILES", (tmp_path / "absent", tmp_path / "version"))
    found = cuda_driver()
    ada = CudaDevice("NVIDIA GeForce RTX 4090", "8.9", 24 << 30, 128)
    assert found.devices == (ada, CudaDevice("NVIDIA T4", "7.5", 12 << 30, 40, is_integrated=True))
    assert (found.version, found.cuda, found.fault) == ("560.35.03", "12.6", "")
    assert (has_cuda_device(), cuda_device()) == (True, ada)
    assert cuda_device_uuid() == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_what_is_not_told_is_none(monkeypatch):
    install(monkeypatch, Library(memory=1, sizes=1))
    found = cuda_driver().devices
    assert [gpu.memory_bytes for gpu in found] == [gpu.multiprocessors for gpu in found] == [None, None]
    assert [gpu.is_integrated for gpu in found] == [False, False]


def test_a_part_of_a_gpu_has_an_identity_of_its_own(monkeypatch):
    library = Library()
    library.cuDeviceGetUuid_v2 = lambda value, found: value.__setitem__(slice(None), range(16, 32)) or 0
    install(monkeypatch, library)
    assert cuda_device_uuid() == "10111213-1415-1617-1819-1a1b1c1d1e1f"


@pytest.mark.parametrize(
    ("library", "fault"),
    [
        (None, r"there is no NVIDIA driver: libcuda.so.1 was not found"),
        (Library(init=803), "the NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"),
        (Library(init=100), "the NVIDIA driver does not start: CUDA_ERROR_NO_DEVICE (100)"),
        (Library(init=7777), "the NVIDIA driver does not start: error 7777"),
        (Library(count=0), "the NVIDIA driver shows no GPU"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch, library, fault):
    install(monkeypatch, library)
    found = cuda_driver()
    assert (found.fault, found.devices) == (fault, ())
    assert (has_cuda_device(), cuda_device(), cuda_device_uuid()) == (False, None, None)
