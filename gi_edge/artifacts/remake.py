"""The commands that make an artefact anew, with the names and options that its manifest tells, even if files of it are
damaged."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gi_edge.files import sha256_file

_MANIFEST = "manifest.json"  # of artifacts.manifest, whose readers get their mends from here
_BESIDE_FP32 = ("fp16", "bf16", "int8")


def train_again(folder: Path) -> str:
    """Return the command that trains an adapter of a folder's name again; DATASET where no manifest says which."""
    name = folder.absolute().name
    dataset = _text(_told(folder), "dataset", "name") or "DATASET"
    return shlex.join(["gi-edge", "train", "--dataset", dataset, *_named(name, dataset), "--force"])


def export_again(folder: Path, *more: str) -> str:
    """Return the command that exports a bundle of a folder's name again, in all its precisions.

    more: further options, such as "--fp16". ADAPTER stands where neither the manifest nor an adapter of the same
    workspace says what the bundle was made of.
    """
    name, told = folder.absolute().name, _told(folder)
    adapter = _adapter_of(folder, told) or "ADAPTER"
    options = [option for option in _export_options(told) if option not in more]
    return shlex.join(["gi-edge", "export", "--adapter", adapter, *_named(name, adapter), *options, *more, "--force"])


def _named(name: str, source: str) -> Sequence[str]:
    return () if name == source else ("--name", name)


def _adapter_of(folder: Path, told: Mapping[str, Any]) -> str | None:
    """Return the name of the adapter of a bundle: as recorded, else, of an earlier gi-edge, found by its sha256."""
    if told.get("kind") == "adapter":  # given in a bundle's stead
        return folder.absolute().name
    if recorded := _text(told, "config", "adapter"):
        return recorded
    wanted = told.get("adapter_sha256")
    try:
        manifests = sorted((folder.absolute().parent.parent / "adapters").glob(f"*/{_MANIFEST}"))
        return next((path.parent.name for path in manifests if sha256_file(path) == wanted), None)
    except OSError:  # what cannot be read is not named
        return None


def _export_options(told: Mapping[str, Any]) -> list[str]:
    """Return the options of the export that made a bundle, as far as its manifest tells them."""
    models = [model for model in _list(told.get("models")) if isinstance(model, Mapping)]
    found = [f"--{name}" for name in _BESIDE_FP32 if any(model.get("precision") == name for model in models)]
    dialects = {_text(model, "quantisation", "dialect") for model in models} - {None}
    if "tensorrt" in dialects:
        found += ["--int8-target", "both" if len(dialects) > 1 else "tensorrt"]
    if any(model.get("input") == "float" for model in models):
        found += ["--input", "float"]
    samples = len(_list(told.get("samples")))
    return [*found, *(("--samples", str(samples)) if samples else ())]


def _told(folder: Path) -> Mapping[str, Any]:
    """Return what a manifest says, unchecked; nothing if it cannot be read."""
    try:
        data = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _text(told: Mapping[str, Any], outer: str, inner: str) -> str | None:
    table = told.get(outer)
    found = table.get(inner) if isinstance(table, Mapping) else None
    return found if isinstance(found, str) and found else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
