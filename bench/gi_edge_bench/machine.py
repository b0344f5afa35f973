"""What the kernel says of this machine's state: memory, load, clock, container. Linux; elsewhere most is None."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_CONTAINER_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
_CONTAINER_GROUPS = ("docker", "kubepods", "containerd", "lxc", "podman")


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since the machine started, of all processes, and of this one."""

    all_seconds: float
    own_seconds: float
    wall_seconds: float
    cpus: int
    """Those that the first number is of."""


def memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the machine's memory."""
    return _kilobytes(root / "proc/meminfo", "MemTotal")


def peak_memory_bytes(root: Path = Path("/")) -> int:
    """Return the largest resident memory that this process had so far."""
    peak = _kilobytes(root / "proc/self/status", "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) counts kilobytes, macOS bytes
    return peak if peak is not None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def governor(root: Path = Path("/")) -> str | None:
    """Return what sets the clock of the first CPU, such as "performance" or "powersave"."""
    return _first_line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def load() -> float | None:
    """Return how many processes wanted a CPU in the last minute, on average."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def container(root: Path = Path("/")) -> str | None:
    """Return the kind of container that this process is in; None if no sign of one was found."""
    for mark, kind in _CONTAINER_MARKS.items():
        if (root / mark).exists():
            return kind
    groups = " ".join(_lines(root / "proc/1/cgroup"))
    return next((kind for kind in _CONTAINER_GROUPS if kind in groups), None)


def cpu_times(wall_seconds: float, root: Path = Path("/")) -> CpuTimes | None:
    """Return the CPU seconds used so far; None where the kernel does not tell. wall_seconds: a clock's reading."""
    lines = _lines(root / "proc/stat")
    if not lines or not lines[0].startswith("cpu "):
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = ([int(part) for part in lines[0].split()[1:]] + [0] * 8)[:8]
    own = os.times()
    return CpuTimes(
        all_seconds=(user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK"),
        own_seconds=own.user + own.system,
        wall_seconds=wall_seconds,
        cpus=sum(line.startswith("cpu") for line in lines) - 1,
    )


def cpus_of_others(before: CpuTimes, after: CpuTimes) -> float:
    """Return how many CPUs other processes kept busy between two readings, on average."""
    seconds = after.wall_seconds - before.wall_seconds
    own = after.own_seconds - before.own_seconds
    return max(0.0, after.all_seconds - before.all_seconds - own) / seconds if seconds > 0 else 0.0


def _kilobytes(path: Path, name: str) -> int | None:
    line = next((line for line in _lines(path) if line.startswith(f"{name}:")), None)
    return None if line is None else int(line.split()[1]) * 1024


def _first_line(path: Path) -> str | None:
    lines = _lines(path)
    return lines[0] if lines else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
