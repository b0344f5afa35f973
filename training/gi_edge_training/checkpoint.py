"""The state of an unfinished run, in one safetensors file beside the adapter to come."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ArtifactError
from gi_edge.files import write_atomic


@dataclass
class RunState:
    """Where a run stands at the end of an epoch."""

    history: list[EpochRecord] = field(default_factory=list)
    """One record per finished epoch."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """On the CPU: "weights/NAME" now, "best/NAME" of the best epoch, "optimizer/NAME/KEY"."""
    seconds: float = 0.0
    """Wall time of the finished epochs."""


class CheckpointFile:
    """Reads and writes the state of a run; a killed process leaves the state of the epoch before.

    fingerprint: of all that decides the outcome; the state of another run is refused.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint

    def read(self) -> RunState:
        """Return the state. Raises: ArtifactError if it is absent, damaged, or of another run."""
        anew = "start anew: the same command with --force instead of --resume"
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
            history = [EpochRecord.model_validate(record) for record in json.loads(metadata["history"])]
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            raise ArtifactError(f"the unfinished run {self.path} cannot be read: {error}", fix=anew) from error
        if metadata.get("fingerprint") != self.fingerprint:
            raise ArtifactError(
                f"the unfinished run {self.path} had other settings, frames, split or base weights",
                fix=f"give the settings it had, or {anew}",
            )
        return RunState(history, tensors, float(metadata.get("seconds", 0.0)))

    def write(self, state: RunState) -> None:
        """Replace the state; where that fails, the state before stays. Raises: ArtifactError, for a full disk too."""
        history = json.dumps([record.model_dump(mode="json") for record in state.history])
        metadata = {"fingerprint": self.fingerprint, "history": history, "seconds": repr(state.seconds)}
        again = "the same command with --resume" if self.path.exists() else "the same command"
        write_atomic(self.path, safetensors.torch.save(state.tensors, metadata), again=again)


def check_start(path: Path, *, resume: bool, force: bool) -> None:
    """Refuse to begin over an unfinished run, and to go on where there is none. Raises: ArtifactError."""
    if resume and not path.exists():
        raise ArtifactError(f"there is no unfinished run to resume: no {path}", fix="the same command without --resume")
    if path.exists() and not (resume or force):
        raise ArtifactError(
            f"an unfinished run is there: {path}", fix="add --resume to go on with it, or --force to begin anew"
        )


@contextmanager
def safetensors_errors() -> Iterator[None]:
    """Turn the disk's refusals, which safetensors puts into text, into the OSError that they were."""
    try:
        yield
    except safetensors.SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
