"""The C library keeps freed memory for the next batch."""

from __future__ import annotations

import ctypes
import gc
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
_NEVER = -1


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next step or batch; return whether it could be told so.

    By default glibc returns every block of more than 32 MB to the kernel when it is freed, and gets it back page by
    page, zeroed, when the next tensor of that size is made: at every step, for every large activation. Only glibc knows
    these options; elsewhere nothing is changed. It holds for the rest of the process. What an earlier run in this
    process left free is given back first.
    """
    library = glibc()
    if library is None:
        return False
    gc.collect()
    library.malloc_trim(0)
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER))


def glibc() -> ctypes.CDLL | None:
    """Return the C library where it is glibc."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
