"""The memory of the training process, measured."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

from gi_edge.modeling.memory import glibc


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
    if glibc() is not None:
        return 1024 * int(re.findall(r"^RssAnon:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # kilobytes on Linux
