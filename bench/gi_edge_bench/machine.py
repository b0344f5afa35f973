"""What the kernel says of this machine's state: memory, load, clock, container. Linux; elsewhere most is None."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

_CONTAINER_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman"}
_CONTAINER_GROUPS = ("docker", "kubepods", "containerd", "lxc", "podman")


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since the machine started, of all processes on the CPUs that this one may use, and of this one."""

    all_seconds: float
    own_seconds: float
    wall_seconds: float
    cpus: int
    """How many those are."""
    throttled_periods: int = 0
    """In which a CPU quota held this process up."""


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


def cpu_times(wall_seconds: float, root: Path = Path("/"), allowed: Collection[int] | None = None) -> CpuTimes | None:
    """Return the CPU seconds used so far on the CPUs that this process may use; None where the kernel does not tell.

    wall_seconds: a clock's reading. allowed: numbers of those CPUs; None: as the kernel says.
    """
    rows = {int(row[0][3:]): row[1:] for line in _lines(root / "proc/stat") if (row := _cpu_row(line))}
    if not rows:
        return None
    numbers = _affinity() if allowed is None else allowed
    # some containers count the CPUs in /proc/stat anew, and show none but their own
    mine = [row for number, row in rows.items() if number in numbers] or list(rows.values())
    own = os.times()
    return CpuTimes(
        all_seconds=sum(map(_busy_ticks, mine)) / os.sysconf("SC_CLK_TCK"),
        own_seconds=own.user + own.system,
        wall_seconds=wall_seconds,
        cpus=len(mine),
        throttled_periods=throttled_periods(root) or 0,
    )


def throttled_periods(root: Path = Path("/")) -> int | None:
    """Return in how many periods a CPU quota has held up this process's control group, or one that this lies in.

    None without a quota. Kernel documentation: "nr_throttled" in cpu.stat, Control Group v2 and CFS Bandwidth Control.
    """
    told = [
        int(line.split()[1])
        for folder in _cpu_groups(root)
        for line in _lines(folder / "cpu.stat")
        if line.startswith("nr_throttled ")
    ]
    return sum(told) if told else None


def _cpu_groups(root: Path) -> list[Path]:
    """Return the folders of the control group that limits CPU time, and of those around it."""
    mounted = root / "sys/fs/cgroup"
    folders: list[Path] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / controllers if controllers else mounted  # version 2 has one tree, with no name
        group = top / path.strip("/")
        # in a container the path may be that of the host, of which only the innermost group is mounted, as the top
        inside = [group, *group.parents] if group.is_dir() else [top]
        folders += [folder for folder in inside if folder.is_relative_to(top)]
    return list(dict.fromkeys(folders))


def _affinity() -> Collection[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _cpu_row(line: str) -> list[str] | None:
    """Split a line of /proc/stat if it is of one CPU; the first, "cpu", is of all."""
    words = line.split()
    return words if words and words[0].startswith("cpu") and words[0][3:].isdigit() else None


def _busy_ticks(row: Sequence[str]) -> int:
    user, nice, system, _idle, _wait, irq, softirq, steal = ([int(part) for part in row] + [0] * 8)[:8]
    return user + nice + system + irq + softirq + steal


def cpus_of_others(before: CpuTimes, after: CpuTimes) -> float:
    """Return how many of its CPUs other processes kept busy between two readings, on average."""
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
