"""What this device can do at most: matrix products per type, and copies within its memory; measured, not quoted.

A matrix product of n x n x n counts 2n³ operations; a copy counts its bytes twice, read and written. A ceiling is
the best size's median. Run as ``python -m gpu_suite.ceilings DEVICE SECONDS``, it prints them as JSON.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from gpu_suite.timing import time_call, timed_call
from gpu_suite.values import Ceiling, Ceilings, Kind

SIZES: dict[str, tuple[int, ...]] = {"cuda": (4096, 8192), "cpu": (256, 512)}
"""n of the matrices. 8192 in fp16 is 384 MiB in three matrices: far beyond any L2 cache."""
COPY_BYTES: dict[str, int] = {"cuda": 2**30, "cpu": 2**26}
_TYPES: dict[Kind, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def set_tf32(*, allowed: bool) -> None:
    """Say whether fp32 products and convolutions may be rounded to TF32; PyTorch's default allows convolutions to.

    By the older of its two interfaces: torch.compile still reads that one, and fails where the newer was used
    (pytorch/pytorch#166387).
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def measured_ceilings(device: torch.device, seconds: float) -> Ceilings:
    """Measure them; what the device or this PyTorch cannot do has its reason instead."""
    kinds: tuple[Kind, ...] = (*_TYPES, "int8")
    return Ceilings(
        device=device_name(device),
        matrix={kind: _matrix(kind, device, seconds) for kind in kinds},
        memory=copy_ceiling(device, seconds),
    )


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the CPU's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"


def _matrix(kind: Kind, device: torch.device, seconds: float) -> Ceiling:
    if kind == "tf32" and device.type == "cpu":
        return Ceiling(per_second=None, how="", reason="a CPU has no TF32")
    if kind == "int8" and not hasattr(torch, "_int_mm"):
        return Ceiling(per_second=None, how="", reason=f"PyTorch {torch.__version__} has no int8 product")
    return max(
        (_told_ceiling(kind, size, device, seconds) for size in SIZES[device.type]),
        key=lambda ceiling: ceiling.per_second or 0.0,
    )


def _told_ceiling(kind: Kind, size: int, device: torch.device, seconds: float) -> Ceiling:
    """Measure one size; a size that fails costs itself only, and its reason stands in the result if no other runs."""
    try:
        return matrix_ceiling(kind, size, device, seconds)
    except RuntimeError as error:  # all that PyTorch raises here: no memory (OutOfMemoryError), no kernel of that type
        return Ceiling(per_second=None, how="", reason=" ".join(str(error).split())[:300])


def matrix_ceiling(kind: Kind, size: int, device: torch.device, seconds: float) -> Ceiling:
    """Time a product of two size x size matrices of random numbers: zeros would draw less power and clock higher."""
    set_tf32(allowed=kind == "tf32")
    multiply, name = _product(kind, size, device)
    timed = time_call(timed_call(multiply, device), seconds, wants_p99=False)
    return Ceiling(
        per_second=2 * size**3 / (timed.summary.p50_ms / 1e3),
        how=f"{name} of {size} x {size} x {size}, median",
        samples=timed.summary.count,
    )


def _product(kind: Kind, size: int, device: torch.device) -> tuple[Callable[[], Tensor], str]:
    generator = torch.Generator(device=device).manual_seed(0)
    if kind == "int8":
        left, right = (
            torch.randint(-127, 128, (size, size), dtype=torch.int8, device=device, generator=generator)
            for _ in range(2)
        )
        turned = right.t()  # columns lie together, as the kernels want it
        return lambda: torch._int_mm(left, turned), "torch._int_mm"
    first, second = (torch.randn(size, size, device=device, generator=generator).to(_TYPES[kind]) for _ in range(2))
    out = torch.empty_like(first)
    return lambda: torch.mm(first, second, out=out), "torch.mm"


def copy_ceiling(device: torch.device, seconds: float) -> Ceiling:
    """Time a copy from one part of the device's memory to another."""
    size = COPY_BYTES[device.type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timed = time_call(timed_call(lambda: target.copy_(source), device), seconds, wants_p99=False)
    return Ceiling(
        per_second=2 * size / (timed.summary.p50_ms / 1e3),
        how=f"copy of {size // 2**20} MiB within the device's memory, read and written, median",
        samples=timed.summary.count,
    )


if __name__ == "__main__":
    sys.stdout.write(measured_ceilings(torch.device(sys.argv[1]), float(sys.argv[2])).model_dump_json())
