"""Which frames a dataset has, by reading folders only; no image is opened here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.spec import DatasetSpec, read_spec, spec_names
from gi_edge.errors import DataError, did_you_mean

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Frame:
    """One image file with its label."""

    id: str
    """Class folder and file name, "polyp/0017.jpg": file names alone repeat across classes in public sets."""
    path: Path
    label: int
    """Index into the classes of the Index."""
    group: str | None
    """Video or patient; None where it is not known."""
    number: int | None = None
    """Number of the frame in its video; None where it is not known."""


@dataclass(frozen=True)
class Index:
    """The frames of a dataset, sorted by id, and its classes, sorted by name."""

    name: str
    spec: DatasetSpec
    root: Path
    classes: tuple[str, ...]
    frames: tuple[Frame, ...]


def index_from_folder(name: str, root: Path, spec: DatasetSpec, exclude: Sequence[str] = ()) -> Index:
    """Index a class-per-folder tree. exclude names classes to leave out.

    Raises: DataError if the folder is absent, holds fewer than two classes with images, or an excluded class or
    a group is not found.
    """
    if not root.is_dir():
        raise DataError(
            f"dataset '{name}': there is no folder {root}",
            fix=f"correct the path of '{name}' in gi-edge.toml or --data",
        )
    files = {folder.name: image_files(folder) for folder in sorted(root.iterdir()) if _is_visible_folder(folder)}
    for left_out in exclude:
        if left_out not in files:
            raise DataError(
                f"dataset '{name}': no class '{left_out}' to exclude ({did_you_mean(left_out, files)})",
                fix="correct --exclude, or exclude = [...] in gi-edge.toml",
            )
    classes = tuple(label for label, paths in files.items() if paths and label not in exclude)
    if len(classes) < 2:
        raise DataError(
            f"dataset '{name}': found {len(classes)} class folder(s) with images in {root}; at least 2 are needed",
            fix=f"lay the images out as {root}/CLASS/IMAGE.jpg, one folder per class",
        )
    frames = [
        Frame(f"{label}/{path.name}", path, position, *_group_from_name(path.name, name, spec))
        for position, label in enumerate(classes)
        for path in files[label]
    ]
    return Index(name, spec, root, classes, tuple(sorted(frames, key=lambda frame: frame.id)))


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, by name; other files are passed over."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def is_class_tree(folder: Path) -> bool:
    """Return whether at least two folders directly in this one hold images."""
    if not _is_visible_folder(folder):
        return False
    return sum(1 for path in folder.iterdir() if _is_visible_folder(path) and image_files(path)) >= 2


def spec_from_names(file_names: Sequence[str]) -> str:
    """Return the spec whose group rule all the file names follow; "folders" if there is none."""
    for name in spec_names():
        pattern = read_spec(name).group_pattern
        if pattern is not None and all(re.match(pattern, file_name) for file_name in file_names):
            return name
    return "folders"


def frames_by_id(index: Index, ids: Sequence[str]) -> tuple[Frame, ...]:
    """Return the frames with these ids, in their order. Raises: DataError if some are not there."""
    known = {frame.id: frame for frame in index.frames}
    missing = [item for item in ids if item not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(ids)} held-out frames are not in {index.root}, the first is '{missing[0]}'",
            fix="give the folder the adapter was trained on: --data DIR",
        )
    return tuple(known[item] for item in ids)


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _group_from_name(file_name: str, dataset: str, spec: DatasetSpec) -> tuple[str | None, int | None]:
    if spec.group_pattern is None:
        return None, None
    match = re.match(spec.group_pattern, file_name)
    if match is None:
        raise DataError(
            f"dataset '{dataset}': '{file_name}' carries no {spec.group_noun} id as spec '{spec.name}' expects",
            fix="remove the file, or use --spec folders (which then splits by frame)",
        )
    number = match.groupdict().get("number")
    return match["group"], None if number is None else int(number)
