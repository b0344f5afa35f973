"""manifest.json: what an artefact folder holds and where it comes from. Readers trust nothing they did not hash."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from gi_edge.config import Value, json_from_value, value_from_mapping
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.spec import DatasetSpec, read_spec
from gi_edge.data.split import SplitKind
from gi_edge.errors import ArtifactError, ConfigError
from gi_edge.files import sha256_file
from gi_edge.metrics.calibration import Calibration

MANIFEST = "manifest.json"
ENGINES_FOLDER = "engines"
"""Folder of a bundle that its manifest leaves out: engines join later, each with its own sidecar (artifacts.engine)."""
SCHEMA_VERSION = 1


class FileEntry(Value):
    """One file of an artefact; path is relative to its folder, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


class BackboneInfo(Value):
    """The pretrained model that training started from; LoRA and a probe leave it as it is."""

    architecture: str
    """timm model name, such as "convnextv2_tiny", or the name of the embedded one."""
    weights: str
    """"timm:TAG", "file:FILE NAME" or "embedded"."""
    weights_sha256: str
    """sha256 over the tensors without the classifier, as fp32 in name order: one identity in whichever file."""
    licence: str


class DatasetInfo(Value):
    """The data that an adapter was trained on."""

    name: str
    spec: str
    """Name of the dataset spec; of the file where it is the user's own."""
    own_spec: DatasetSpec | None = None
    """The user's own spec whole, so that a device needs no other file; None for one of the package."""
    exclude: tuple[str, ...]
    """Classes left out."""
    licence: str
    citation: str
    frames: int
    """Readable frames."""
    unreadable: tuple[str, ...]
    """Ids of frames that were skipped as unreadable."""

    def rules(self) -> DatasetSpec:
        """Return the dataset spec."""
        return self.own_spec or read_spec(self.spec)


class SplitInfo(Value):
    """The split, whose rows stand in split.csv of the adapter."""

    kind: SplitKind
    group_noun: str
    fingerprint: str
    caution: str
    train: int
    val: int
    test: int


class Provenance(Value):
    """What may differ between two artefacts of equal content."""

    created: str
    """UTC, ISO 8601."""
    gi_edge_version: str
    python: str
    packages: dict[str, str]
    train_seconds: float | None = None
    """Wall time of the training loop, resumed parts together."""
    peak_memory_bytes: int | None = None
    """Largest memory of the main process while it trained, resumed parts together: on a GPU what PyTorch held there, on
    a CPU without mapped files, such as the frame cache, where the C library is glibc."""


class Manifest(Value):
    """Fields that every artefact has."""

    schema_version: Literal[1] = 1
    name: str
    backbone: BackboneInfo
    dataset: DatasetInfo
    split: SplitInfo
    classes: tuple[str, ...]
    """In the order of the logits."""
    preprocess: PreprocessSpec
    temperature: float = Field(default=1.0, gt=0)
    """Probabilities are the softmax of the logits divided by it; 1 where none was fitted."""
    calibration: Calibration | None = None
    """How the temperature was fitted, on validation frames; None where none was."""
    config: dict[str, Any]
    """The resolved settings it was made with."""
    files: tuple[FileEntry, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _temperature_is_the_fitted_one(self) -> Manifest:
        if self.calibration is not None and self.calibration.temperature != self.temperature:
            raise ValueError(f"temperature {self.temperature:g} is not the fitted {self.calibration.temperature:g}")
        return self


M = TypeVar("M", bound=Manifest)


def provenance_now(packages: tuple[str, ...]) -> Provenance:
    """Describe this moment and these installed packages."""
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        gi_edge_version=metadata.version("gi-edge"),
        python=platform.python_version(),
        packages=package_versions(packages),
    )


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Hash every file below folder and write manifest.json beside them."""
    complete = manifest.model_copy(update={"files": entries_of(folder, (MANIFEST,))})
    (folder / MANIFEST).write_text(json_from_value(complete), encoding="utf-8")


def entries_of(folder: Path, aside: tuple[str, ...]) -> tuple[FileEntry, ...]:
    """Hash every file below folder, by path. aside: files and folders directly in it that are left out."""
    return tuple(
        FileEntry(path=name, size_bytes=path.stat().st_size, sha256=sha256_file(path))
        for name, path in sorted(_present(folder, aside).items())
    )


def read_manifest(folder: Path, model: type[M], kind: str, remake: str) -> M:
    """Read and check an artefact folder. remake is the command that makes a new one.

    Raises: ArtifactError if the manifest is absent, of another kind or a newer schema, or if a file is missing,
    extra, altered or outside the folder.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} is no {kind}: {path.name} cannot be read ({error})", fix=remake) from error
    found = data.get("kind") if isinstance(data, dict) else None
    if found != kind:
        raise ArtifactError(f"{folder} is no {kind}: its manifest says {found!r}", fix=remake)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{folder} has schema {data.get('schema_version')!r}; this gi-edge reads {SCHEMA_VERSION}",
            fix=f"update gi-edge, or make it anew: {remake}",
        )
    try:
        manifest = value_from_mapping(model, data, source=str(path))
    except ConfigError as error:
        fault = f"another version of gi-edge wrote {folder}, or it was altered: {error.message}"
        raise ArtifactError(fault, fix=f"make it anew: {remake}") from error
    aside = (MANIFEST, ENGINES_FOLDER) if kind == "bundle" else (MANIFEST,)
    check_files(folder, manifest.files, remake, aside)
    return manifest


def check_files(folder: Path, entries: tuple[FileEntry, ...], remake: str, aside: tuple[str, ...]) -> None:
    """Hold a folder against its entries. aside: files and folders directly in it that the entries leave out.

    Raises: ArtifactError if a file is missing, extra, altered or outside the folder.
    """
    listed: Mapping[str, FileEntry] = {entry.path: entry for entry in entries}
    for entry in entries:
        relative = PurePosixPath(entry.path)
        if relative.is_absolute() or ".." in relative.parts:
            raise ArtifactError(f"{folder}: the manifest names a path outside, '{entry.path}'", fix=remake)
    present = _present(folder, aside)
    for name in sorted(listed.keys() | present.keys()):
        fault = _fault_of_file(listed.get(name), present.get(name))
        if fault:
            raise ArtifactError(f"{folder}: the file '{name}' {fault}", fix=f"copy it again, or make it anew: {remake}")


def _present(folder: Path, aside: tuple[str, ...]) -> dict[str, Path]:
    """Return everything below folder that is no folder, by its relative path."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if not path.is_dir()}
    return {name.as_posix(): path for name, path in found.items() if name.parts[0] not in aside}


def _fault_of_file(entry: FileEntry | None, path: Path | None) -> str:
    if entry is None:
        return "is not listed in the manifest"
    if path is None:
        return "is missing"
    if path.is_symlink() or not path.is_file():
        return "is not a plain file"
    if path.stat().st_size != entry.size_bytes or sha256_file(path) != entry.sha256:
        return "was altered or cut short (its sha256 differs from the manifest's)"
    return ""
