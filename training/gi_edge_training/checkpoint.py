"""The state of an unfinished run, in one safetensors file beside the adapter to come."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gi_edge.artifacts.adapter import EpochRecord
from gi_edge.errors import ArtifactError
from gi_edge.files import write_atomic

Identity = Mapping[str, object]
"""All that decides the outcome of a run, by name: settings, and the sha256 of what is large. Its values are JSON's."""

_SHA256 = "sha256"
"""Entry of the metadata with the hash of all else."""


@dataclass
class RunState:
    """Where a run stands at the end of an epoch."""

    history: list[EpochRecord] = field(default_factory=list)
    """One record per finished epoch."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """On the CPU: "weights/NAME" now, "best/NAME" of the best epoch, "optimizer/NAME/KEY"."""
    seconds: float = 0.0
    """Wall time of the finished epochs."""
    peak_memory_bytes: int = 0
    """Largest memory of the main process, over all parts of a resumed run."""


class CheckpointFile:
    """Reads and writes the state of a run; a killed process leaves the state of the epoch before.

    The file carries the sha256 of its content, since safetensors has none: one flipped bit would train another model.
    A file without it, as earlier versions wrote, is refused too: nobody can tell whether it is whole.

    identity: all that decides the outcome; the state of another run is refused.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.identity = identity

    def read(self) -> RunState:
        """Return the state. Raises: ArtifactError if it is absent, damaged, or of another run."""
        anew = "start anew: the same command with --force instead of --resume"
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
            if fault := _fault_of_content(tensors, metadata):
                raise ArtifactError(f"the unfinished run {self.path} {fault}", fix=anew)
            history = [EpochRecord.model_validate(record) for record in json.loads(metadata["history"])]
            identity = dict(json.loads(metadata["identity"]))
            seconds, peak = float(metadata["seconds"]), int(metadata["peak_memory_bytes"])
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            raise ArtifactError(f"the unfinished run {self.path} cannot be read: {error}", fix=anew) from error
        if names := differing(identity, self.identity):
            faults = "; ".join(_told(name, identity.get(name), self.identity.get(name)) for name in names)
            raise ArtifactError(
                f"the unfinished run {self.path} is another: {faults}", fix=f"give it what it had, or {anew}"
            )
        return RunState(history, tensors, seconds, peak)

    def write(self, state: RunState) -> None:
        """Replace the state; where that fails, the state before stays. Raises: ArtifactError, for a full disk too."""
        history = json.dumps([record.model_dump(mode="json") for record in state.history])
        metadata = {
            "identity": json.dumps(dict(self.identity)),
            "history": history,
            "seconds": repr(state.seconds),
            "peak_memory_bytes": str(state.peak_memory_bytes),
        }
        metadata[_SHA256] = _sha256_of_content(state.tensors, metadata)
        again = "the same command with --resume" if self.path.exists() else "the same command"
        write_atomic(self.path, safetensors.torch.save(state.tensors, metadata), again=again)


def _fault_of_content(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return what is wrong with the content of a state that was read, "" if nothing is."""
    written = metadata.get(_SHA256)
    if written is None:
        return "has no sha256 of its content: an earlier version of gi-edge wrote it, or it was altered"
    found = _sha256_of_content(tensors, metadata)
    if found != written:
        return f"was altered or damaged: the sha256 of its content is {found[:12]}…, and {written[:12]}… was written"
    return ""


def _sha256_of_content(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the sha256 of all tensors, by name, with their types and shapes, and of all metadata but the hash."""
    rest = {name: text for name, text in metadata.items() if name != _SHA256}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def differing(one: Identity, other: Identity) -> list[str]:
    """Return the names of what two runs do not share."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _told(name: str, had: object, has: object) -> str:
    hashed = isinstance(had, str) and len(had) == 64
    return f"it had other {name}" if hashed else f"{name} was {had}, now {has}"


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
