"""What this machine is, read from its files; imports nothing of weight."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from gi_edge.config import Value

_BOARD = "proc/device-tree/model"
_TEGRA = "etc/nv_tegra_release"
_CPU = "proc/cpuinfo"


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

    @property
    def board_text(self) -> str | None:
        """Board and release in one line."""
        return ", ".join(filter(None, (self.board, self.l4t and f"L4T {self.l4t}"))) or None


def this_machine(root: Path = Path("/")) -> Machine:
    """Describe this machine; root is where its files lie."""
    return Machine(
        system=platform.platform(),
        architecture=platform.machine(),
        board=_text(root / _BOARD).strip("\0\n ") or None,
        l4t=l4t_from_text(_text(root / _TEGRA)),
        cpu=_cpu(root),
        logical_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
    )


def l4t_from_text(text: str) -> str | None:
    """Return the release that /etc/nv_tegra_release names: "# R36 (release), REVISION: 4.3, …" is "36.4.3"."""
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _cpu(root: Path) -> str:
    """Return the model's name; an ARM kernel tells none, then the board or the architecture has to do."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _text(root / _CPU), re.MULTILINE)
    return str(names[0]).strip() if names else platform.processor() or platform.machine()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
