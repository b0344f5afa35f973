"""Engine: a compiled model in bundles/NAME/engines/, built later and elsewhere than its bundle.

engines/TARGET-RUNTIME-VERSION/PRECISION/ holds model.plan and engine.json, the sidecar. The bundle's manifest leaves
engines/ out, so a device adds engines without touching what export sealed; the sidecar binds each one instead: it
names the sha256 of the plan, of the ONNX file it was built from, and of the bundle's manifest.

This finds a cut, altered or swapped plan, and an engine of another bundle or of an earlier export. It does not stop
somebody who may write to the folder, for sidecar and plan can be replaced together: an engine is executable, so keep
the folder as closed as a program's, or build on the device.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.manifest import ENGINES_FOLDER, MANIFEST, FileEntry, check_files, entries_of
from gi_edge.config import Value, json_from_value, value_from_mapping
from gi_edge.errors import ArtifactError, ConfigError
from gi_edge.files import sha256_file
from gi_edge.metrics.parity import Precision

SIDECAR = "engine.json"
PLAN_FILE = "model.plan"
TIMING_CACHE_FILE = "timing.cache"
SCHEMA_VERSION = 1

RuntimeName = Literal["tensorrt", "tensorrt-rtx"]


class BatchRange(Value):
    """Batch sizes that an engine takes: smallest, the one it is tuned for, largest."""

    minimum: int
    optimum: int
    maximum: int

    @model_validator(mode="after")
    def _ordered(self) -> BatchRange:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise ValueError(f"must be 1 <= minimum <= optimum <= maximum, found {self.text}")
        return self

    @property
    def text(self) -> str:
        """The range as --batch takes it."""
        return f"{self.minimum}:{self.optimum}:{self.maximum}"


def batch_range_from_text(text: str) -> BatchRange:
    """Parse MIN:OPT:MAX, or one number for a fixed batch. Raises: ConfigError."""
    parts = text.split(":")
    if len(parts) == 1:
        parts = parts * 3
    try:
        smallest, best, largest = map(int, parts)
    except ValueError as error:
        raise ConfigError(f"'{text}' is no batch range", fix="--batch 1:8:32, or --batch 1 for one size") from error
    found = {"minimum": smallest, "optimum": best, "maximum": largest}
    return value_from_mapping(BatchRange, found, source=f"--batch {text}")


class EngineTarget(Value):
    """What an engine runs on."""

    device: str | None
    """Name of the GPU that it was built on and for; None if built for a list of architectures without one."""
    compute_capabilities: tuple[str, ...]
    """Such as "8.6"; those that the engine holds code for."""
    multiprocessors: int | None = None
    """Of the device; None where it is not known, as in older sidecars."""
    memory_bytes: int | None = None
    """Of the device, all of it; None likewise."""
    is_integrated: bool = False
    """Whether the device is a Jetson's, whose name many modules share, such as "Orin"."""

    @property
    def label(self) -> str:
        """The target as the start of a folder name; of a Jetson with the number of multiprocessors."""
        if self.device is not None:
            size = f" {self.multiprocessors} sm" if self.is_integrated and self.multiprocessors else ""
            return re.sub(r"[^a-z0-9]+", "-", f"{self.device}{size}".lower()).strip("-")
        return "-".join(f"sm{text.replace('.', '')}" for text in self.compute_capabilities)


class PrecisionProof(Value):
    """In which types the engine computes, read back after the build."""

    method: Literal["engine inspector", "typed network"]
    """The inspector reads the finished engine and needs a GPU of its target. The typed network is what the builder
    was given: under strong typing it may not change those types."""
    matrices: dict[str, int]
    """Convolutions and matrix products, counted by the type that they compute in."""
    sums: dict[str, int]
    """Reductions and normalisations, likewise."""
    wider: tuple[str, ...] = ()
    """Matrix layers that int8 left in a wider type."""
    note: str = ""
    """Why the typed network had to do, where a GPU was there."""


class EngineEntry(Value):
    """engine.json: what an engine is and what it was made from."""

    schema_version: Literal[1] = 1
    kind: Literal["engine"] = "engine"
    precision: Precision
    runtime: RuntimeName
    runtime_version: str
    target: EngineTarget
    batch: BatchRange
    tf32: bool
    """Whether fp32 products may be rounded to TF32's 10-bit mantissa."""
    workspace_mb: int | None
    """Limit of scratch memory in MiB; None: the runtime's default."""
    onnx_sha256: str
    bundle_manifest_sha256: str
    files: tuple[FileEntry, ...]
    """The plan first; the timing cache and a Triton repository where there are any."""
    timing_cache_sha256: str | None
    """Of the measured kernel times that the build used and left; None where the runtime keeps none."""
    proof: PrecisionProof
    build_seconds: float
    created: str
    """UTC, ISO 8601."""
    gi_edge_version: str


@dataclass(frozen=True)
class Engine:
    """A checked engine folder."""

    path: Path
    entry: EngineEntry

    @property
    def plan(self) -> Path:
        """The file that a runtime loads."""
        return self.path / PLAN_FILE


def engine_folder(bundle: Path, target: EngineTarget, runtime: str, precision: str) -> Path:
    """Return where an engine lies; runtime is name and version, such as "tensorrt-10.3.0"."""
    return bundle / ENGINES_FOLDER / f"{target.label}-{runtime}" / precision


def write_engine_entry(folder: Path, entry: EngineEntry) -> None:
    """Hash every file of an engine folder, the plan first, and write engine.json beside them."""
    files = sorted(entries_of(folder, (SIDECAR,)), key=lambda file: file.path != PLAN_FILE)
    complete = entry.model_copy(update={"files": tuple(files)})
    (folder / SIDECAR).write_text(json_from_value(complete), encoding="utf-8")


def engine_folders(bundle: Path) -> tuple[Path, ...]:
    """Return the engine folders of a bundle, checked or not, by name; hidden ones are unfinished."""
    found = (bundle / ENGINES_FOLDER).glob("*/*")
    return tuple(sorted(path for path in found if not path.name.startswith(".")))


def read_engine_entry(bundle: Bundle, folder: Path) -> EngineEntry:
    """Read a sidecar alone, to choose among engines; use none before read_engine has checked it.

    Raises: ArtifactError if there is none, or the folder is reached through a link.
    """
    again = f"gi-edge engine {bundle.manifest.name} --force"
    if any(path.is_symlink() for path in (folder, folder.parent, folder.parent.parent)):
        raise ArtifactError(f"{folder} is reached through a link", fix=f"remove the link, then {again}")
    try:
        data = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} is no engine: {SIDECAR} cannot be read ({error})", fix=again) from error
    if not isinstance(data, dict) or data.get("kind") != "engine" or data.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(f"{folder / SIDECAR} is no engine sidecar of schema {SCHEMA_VERSION}", fix=again)
    return value_from_mapping(EngineEntry, data, source=str(folder / SIDECAR))


def read_plan(engine: Engine) -> bytes:
    """Read the plan and hash what was read, so that the bytes that are deserialised are those that were checked.

    Raises: ArtifactError if it is not the one that engine.json names.
    """
    content = engine.plan.read_bytes()
    wanted = next(file.sha256 for file in engine.entry.files if file.path == PLAN_FILE)
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ArtifactError(f"{engine.plan} was altered while it was read", fix="gi-edge verify BUNDLE, then again")
    return content


def read_engine(bundle: Bundle, folder: Path) -> Engine:
    """Read and check one engine against its sidecar and its bundle.

    Raises: ArtifactError if it has no sidecar, a file is missing, extra or altered, or it belongs to another bundle.
    """
    again = f"gi-edge engine {bundle.manifest.name} --force"
    entry = read_engine_entry(bundle, folder)
    check_files(folder, entry.files, again, (SIDECAR,))
    _check_origin(bundle, folder, entry, again)
    return Engine(folder, entry)


def read_engines(bundle: Bundle) -> tuple[Engine, ...]:
    """Read and check every engine of a bundle. Raises: ArtifactError for the first that is not whole."""
    return tuple(read_engine(bundle, folder) for folder in engine_folders(bundle.path))


def _check_origin(bundle: Bundle, folder: Path, entry: EngineEntry, again: str) -> None:
    model = bundle.model(entry.precision, "tensorrt")
    sealed = {file.path: file.sha256 for file in bundle.manifest.files}
    if entry.onnx_sha256 != sealed[model.path]:
        raise ArtifactError(f"{folder} was built from another {model.path} than this bundle's", fix=again)
    if entry.bundle_manifest_sha256 != sha256_file(bundle.path / MANIFEST):
        raise ArtifactError(f"{folder} was built for another export of this bundle", fix=again)
    if PLAN_FILE not in {file.path for file in entry.files}:
        raise ArtifactError(f"{folder / SIDECAR} lists no {PLAN_FILE}", fix=again)
    if folder != engine_folder(bundle.path, entry.target, f"{entry.runtime}-{entry.runtime_version}", entry.precision):
        raise ArtifactError(f"{folder} holds an engine of another target, runtime or precision", fix=again)
