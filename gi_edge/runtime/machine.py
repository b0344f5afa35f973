"""What this machine is, read from its files; imports nothing of weight."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from gi_edge.config import Value

_BOARD = Path("/proc/device-tree/model")
_TEGRA = Path("/etc/nv_tegra_release")
_CPU = Path("/proc/cpuinfo")


class Machine(Value):
    """System, board and processor."""

    system: str
    architecture: str
    """Such as "x86_64" or "aarch64"."""
    board: str | None
    """Model of a Jetson or another board that says so."""
    l4t: str | None
    """Release of a Jetson's system, such as "36.4.3", which is of JetPack 6; None elsewhere."""
    cpu: str
    logical_cpus: int
    """Those that this process may use."""
    python: str


def this_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        system=platform.platform(),
        architecture=platform.machine(),
        board=_text(_BOARD).strip("\0\n ") or None,
        l4t=l4t_from_text(_text(_TEGRA)),
        cpu=_cpu(),
        logical_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
    )


def l4t_from_text(text: str) -> str | None:
    """Return the release that /etc/nv_tegra_release names: "# R36 (release), REVISION: 4.3, …" is "36.4.3"."""
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _cpu() -> str:
    """Return the model's name; an ARM kernel tells none, then the board or the architecture has to do."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _text(_CPU), re.MULTILINE)
    return str(names[0]).strip() if names else platform.processor() or platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
