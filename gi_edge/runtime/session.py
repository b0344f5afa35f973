"""What every inference runtime offers to the rest of gi-edge."""

from __future__ import annotations

import ctypes
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gi_edge.metrics.parity import Precision

Provider = Literal["cpu", "cuda"]
NOT_IN_ONNX_RUNTIME: tuple[Precision, ...] = ("bf16",)
"""What ONNX Runtime has not all operators for: its Conv takes no bfloat16, on a CPU or with CUDA."""
PIXEL_INPUT = "pixels"
"""Input of a model file that scales inside: uint8 [N, size, size, 3] RGB."""
FLOAT_INPUT = "images"
"""Input of a model file that takes float32 [N, 3, size, size], scaled by its PreprocessSpec."""


class Session(Protocol):
    """One loaded model file on one device."""

    @property
    def runtime(self) -> str:
        """Runtime and version."""

    @property
    def provider(self) -> str:
        """What executes the graph, in the runtime's own word."""

    @property
    def widens_half(self) -> bool:
        """Whether half-precision graphs are computed in fp32 here, so that agreement proves nothing of half."""

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pixels [n, size, size, 3] RGB → float32 logits [n, classes]; returns when they are in memory."""


def has_cuda_device() -> bool:
    """Return whether the NVIDIA driver is loaded and sees a device; asks the driver, imports nothing."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
