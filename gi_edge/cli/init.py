"""gi-edge init."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gi_edge.cli.options import force_option

if TYPE_CHECKING:
    from gi_edge.workspace import DatasetEntry

_HEAD = """\
# The gi-edge workspace: adapters/, bundles/ and reports/ come to lie beside this file.
# One table per dataset. path: folder with one folder of images per class, relative to this file. spec: what is known
# of the dataset besides its files ({specs}). exclude = ["CLASS", ...] leaves classes out.
"""
_EXAMPLE = """
# [datasets.my-dataset]
# path = "data/my-dataset"
# spec = "folders"
"""
_TRAIN = """
# Settings of gi-edge train that hold for every dataset here; gi-edge train --help lists them.
[train]
"""


@click.command()
@click.option("--data", multiple=True, type=click.Path(path_type=Path), help="Dataset folder; may be repeated.")
@click.option("--spec", help="Spec of these datasets; found by their file names unless given.")
@click.option("--backbone", help="Backbone for every dataset here.")
@click.option("--weights", type=click.Path(path_type=Path), help="Local weights file of that backbone.")
@force_option
def command(data: tuple[Path, ...], spec: str | None, backbone: str | None, weights: Path | None, force: bool) -> None:
    """Write gi-edge.toml in the current folder: datasets by name, folder and spec.

    Without --data the class-per-folder trees in the current folder and in data/ are taken.
    """
    from gi_edge.cli.console import ConsoleProgress
    from gi_edge.data.spec import read_spec, spec_names
    from gi_edge.errors import ArtifactError
    from gi_edge.files import write_atomic
    from gi_edge.workspace import FILE_NAME

    here = Path.cwd()
    target = here / FILE_NAME
    if target.exists() and not force:
        raise ArtifactError(f"{target} exists already", fix="edit it, or gi-edge init --force to replace it")
    found = {folder.resolve().name: _entry(folder, spec and read_spec(spec).name) for folder in data or _trees(here)}
    tables = "".join(_table(name, entry, here) for name, entry in found.items()) or _EXAMPLE
    settings = {"backbone": backbone, "weights": str(weights.resolve()) if weights else None}
    train = "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items() if value)
    write_atomic(target, _HEAD.format(specs=", ".join(spec_names())) + tables + _TRAIN + train)
    progress = ConsoleProgress()
    for name, entry in found.items():
        progress.say(f"dataset {name}: {entry.path}, spec {entry.spec}")
    if not found:
        progress.say("no class-per-folder tree here or in data/; add your datasets to the file, or give --data DIR")
    progress.say(f"wrote {FILE_NAME}; next: {'gi-edge train' if found else f'edit {FILE_NAME}'}")


def _entry(folder: Path, spec: str | None) -> DatasetEntry:
    """Index the folder, so that what cannot serve is told now. Raises: DataError."""
    from gi_edge.data.index import index_from_folder, spec_from_names
    from gi_edge.data.spec import read_spec
    from gi_edge.workspace import DatasetEntry

    index = index_from_folder(folder.resolve().name, folder, read_spec(spec or "folders"))
    chosen = spec or spec_from_names([frame.path.name for frame in index.frames], index.classes)
    return DatasetEntry(path=folder, spec=chosen)


def _trees(here: Path) -> list[Path]:
    from gi_edge.data.index import is_class_tree

    candidates = [path for parent in (here, here / "data") if parent.is_dir() for path in sorted(parent.iterdir())]
    return [path for path in candidates if is_class_tree(path)]


def _table(name: str, entry: DatasetEntry, here: Path) -> str:
    path = entry.path.resolve()
    shown = path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
    return f"\n[datasets.{_toml_key(name)}]\npath = {_toml(shown)}\nspec = {_toml(entry.spec)}\n"


def _toml(text: str) -> str:
    """Quote as a TOML basic string, whose escapes JSON's are a part of."""
    return json.dumps(text, ensure_ascii=False)


def _toml_key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _toml(text)
