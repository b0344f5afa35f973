"""What the studies share: a workspace, and the commands of gi-edge that ran in it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Commands:
    """A workspace and the commands that ran in it, in order."""

    workspace: Path
    ran: list[str] = field(default_factory=list)

    def gi_edge(self, *words: str) -> str:
        """Run a command of gi-edge in the workspace and return what it printed."""
        self.ran.append(shlex.join(["gi-edge", *words]))
        sys.stderr.write(f"$ {self.ran[-1]}\n")
        command = [sys.executable, "-m", "gi_edge", *words]
        return subprocess.run(command, cwd=self.workspace, stdout=subprocess.PIPE, text=True, check=True).stdout

    def gi_edge_unless(self, made: Path, *words: str) -> None:
        """Run a command unless what it makes is there; it counts as one of the study either way."""
        if made.exists():
            self.ran.append(shlex.join(["gi-edge", *words]))
        else:
            self.gi_edge(*words)


def write_workspace(folder: Path, data: list[str], weights: Path) -> list[str]:
    """Write gi-edge.toml with datasets given as NAME=DIR and the base weights; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'[train]\nweights = "{weights.resolve()}"\n']
    names = []
    for item in data:
        name, _, place = item.partition("=")
        names.append(name)
        lines.append(f'[datasets.{name}]\npath = "{Path(place).resolve()}"\n')
    (folder / "gi-edge.toml").write_text("\n".join(lines), encoding="utf-8")
    return names
