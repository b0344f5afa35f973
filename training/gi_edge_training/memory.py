"""The memory of the training process: kept between two steps, and measured."""

from __future__ import annotations

import ctypes
import gc
import re
import resource
import sys
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next step; return whether it could be told so.

    By default glibc returns every block of more than 32 MB to the kernel when it is freed, and gets it back page by
    page, zeroed, when the next tensor of that size is made: at every step, for every large activation. Only glibc knows
    these options; elsewhere nothing is changed. It holds for the rest of the process. What an earlier run in this
    process left free is given back first.
    """
    library = _glibc()
    if library is None:
        return False
    gc.collect()
    library.malloc_trim(0)
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER))


def begin_peak(device: torch.device) -> None:
    """Forget what earlier runs in this process held on a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device, status: Path = Path("/proc/self/status")) -> int:
    """Return the largest memory of this process so far; on a GPU, what PyTorch held there.

    After keep_freed_memory the memory that is held is the largest so far, so that it is read here without the files
    that are mapped: the kernel counts every frame that was ever read among them, however little memory there is. Where
    there is no glibc, the kernel's peak is returned, mapped files included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _glibc() is not None:
        return 1024 * int(re.findall(r"^RssAnon:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # kilobytes on Linux


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
