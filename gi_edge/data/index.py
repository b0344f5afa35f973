"""Which frames a dataset has, by reading folders and label files only; no image is opened here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.classnames import class_from_name
from gi_edge.data.layout import (
    IMAGE_SUFFIXES,
    Labelled,
    Listing,
    check_unpacked,
    labelled_from_folders,
    list_folder,
)
from gi_edge.data.spec import DatasetSpec, read_spec, spec_names
from gi_edge.data.table import labelled_from_table
from gi_edge.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Frame:
    """One image file with its label."""

    id: str
    """Class and file name, "polyp/0017.jpg": file names alone repeat across classes in public sets. Where class and
    name repeat too, the path below the root."""
    path: Path
    label: int
    """Index into the classes of the Index."""
    group: str | None
    """Video or patient; None where it is not known."""
    number: int | None = None
    """Number of the frame in its video; None where it is not known."""
    part: str | None = None
    """The part that the frame is delivered in: train, val or test; None where it is delivered in none."""


@dataclass(frozen=True)
class Index:
    """The frames of a dataset, sorted by id, and its classes, sorted by name."""

    name: str
    spec: DatasetSpec
    root: Path
    classes: tuple[str, ...]
    frames: tuple[Frame, ...]
    unlabelled: int = 0
    """Rows of the label file without a label, where the spec lets them be; no frame is made of them."""


def index_from_folder(name: str, root: Path, spec: DatasetSpec, exclude: Sequence[str] = ()) -> Index:
    """Index a dataset in the layout of its spec. exclude names classes to leave out.

    Raises: DataError if the folder is absent or still packed, holds fewer than two classes with images, or if a class,
    an excluded class, a labelled file or a group is not found.
    """
    if not root.is_dir():
        raise DataError(
            f"dataset '{name}': there is no folder {root}",
            fix=f"correct the path of '{name}' in gi-edge.toml or --data",
        )
    listing = list_folder(root, nested=True, skip=spec.skip_folders)
    if spec.layout == "class-folders":
        _check_depth(listing, name, root)
        for folder in [folder for folder in listing.images if "/" in folder]:
            del listing.images[folder]
    if spec.layout == "csv":
        if not listing.images:
            check_unpacked(listing, (), spec, (name, root))
        found, unlabelled = labelled_from_table(root, listing, spec, name)
    else:
        found, unlabelled = labelled_from_folders(listing, spec, name, exclude), 0
        check_unpacked(listing, {item.label for item in found}, spec, (name, root))
    left_out = _excluded_classes(exclude, {item.label for item in found}, listing, spec, name)
    kept = [item for item in found if item.label not in left_out]
    classes = tuple(sorted({item.label for item in kept}))
    if len(classes) < 2:
        raise _too_few_classes(name, root, spec, len(classes))
    return Index(name, spec, root, classes, _frames(kept, classes, root, spec, name), unlabelled)


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, by name; other files are passed over."""
    paths = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES)
    return [path for path in paths if not path.name.startswith(".") and path.is_file()]


def is_class_tree(folder: Path) -> bool:
    """Return whether at least two folders directly in this one hold images."""
    if not _is_visible_folder(folder):
        return False
    return sum(1 for path in folder.iterdir() if _is_visible_folder(path) and image_files(path)) >= 2


def spec_from_names(file_names: Sequence[str], class_names: Sequence[str] = ()) -> str:
    """Return the spec whose group rule all the file names follow and whose classes the class names are.

    A spec without a group rule needs half of its classes, lest an own data set is given the licence of a public one.
    "folders" if none fits.
    """
    specs = [spec for spec in map(read_spec, spec_names()) if spec.layout != "csv"]
    ruled = [spec for spec in specs if _needs_group(spec) and _follow_group_rule(spec, file_names)]
    fitting = [spec for spec in ruled if _has_classes(spec, class_names)]
    fitting += [spec for spec in specs if not _needs_group(spec) and _has_classes(spec, class_names, least=0.5)]
    fitting += [spec for spec in ruled if not spec.classes]
    return next((spec.name for spec in fitting), "folders")


def _needs_group(spec: DatasetSpec) -> bool:
    return spec.group_pattern is not None and not spec.group_optional


def _follow_group_rule(spec: DatasetSpec, file_names: Sequence[str]) -> bool:
    pattern = re.compile(spec.group_pattern or "")
    return spec.group_from == "file-name" and all(pattern.match(file_name) for file_name in file_names)


def _has_classes(spec: DatasetSpec, class_names: Sequence[str], least: float = 0.0) -> bool:
    """Whether the names are classes of a spec that lists its classes, and at least a share of them."""
    found = {class_from_name(item, spec.classes) for item in class_names} if spec.classes else set()
    return bool(found) and None not in found and len(found) >= least * len(spec.classes)


def group_and_number(item: Labelled, spec: DatasetSpec) -> tuple[str | None, int | None] | None:
    """Return the group of a file and its number in it, each None if not known; a group already given stays.

    None: the file has no group and does not follow the group_pattern, as the spec says that it must.
    """
    if spec.group_pattern is None:
        return item.group, None
    match = re.match(spec.group_pattern, item.name if spec.group_from == "file-name" else item.path)
    if match is None:
        return (item.group, None) if item.group is not None or spec.group_optional else None
    number = match.groupdict().get("number")
    return item.group or match["group"], None if number is None else int(number)


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


def _check_depth(listing: Listing, name: str, root: Path) -> None:
    """Refuse images below a class folder: whether they are of the class is not known. Raises: DataError."""
    deeper = [folder for folder in listing.images if "/" in folder]
    if deeper and any("/" not in folder and folder for folder in listing.images):
        count = sum(len(listing.images[folder]) for folder in deeper)
        raise DataError(
            f"dataset '{name}': {count} images lie deeper than in their class folder, the first in {root / deeper[0]}",
            fix="move them up into the class folders, or name such folders in a spec of your own: --spec FILE.toml "
            'with layout = "nested-class-folders" or skip_folders = [...]',
        )


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _excluded_classes(
    exclude: Sequence[str], labels: Collection[str], listing: Listing, spec: DatasetSpec, dataset: str
) -> set[str]:
    """Return the classes that exclude names, in any spelling. Raises: DataError with the nearest."""
    known = {*labels, *spec.classes, *(folder.rpartition("/")[2] for folder in listing.folders)}
    left_out = {class_from_name(item, spec.classes) or item: item for item in exclude}
    for label, item in left_out.items():
        if label not in known:
            raise DataError(
                f"dataset '{dataset}': no class '{item}' to exclude ({did_you_mean(item, {*labels, *spec.classes})})",
                fix="correct --exclude, or exclude = [...] in gi-edge.toml",
            )
    return set(left_out)


def _too_few_classes(name: str, root: Path, spec: DatasetSpec, count: int) -> DataError:
    if spec.layout == "csv":
        return DataError(
            f"dataset '{name}': found {count} class(es) with images in the label file of {root}; at least 2 are needed",
            fix="complete the label file, or name its columns in a spec of your own: --spec FILE.toml",
        )
    below = next((path for path in sorted(root.iterdir()) if is_class_tree(path)), None)
    return DataError(
        f"dataset '{name}': found {count} class folder(s) with images in {root}; at least 2 are needed",
        fix=f"give the folder one level below: --data '{below}'"
        if below and spec.layout == "class-folders"
        else f"lay the images out as {root}/CLASS/IMAGE.jpg, one folder per class",
    )


def _frames(
    found: Sequence[Labelled], classes: Sequence[str], root: Path, spec: DatasetSpec, dataset: str
) -> tuple[Frame, ...]:
    number = {label: position for position, label in enumerate(classes)}
    ids = [f"{item.label}/{item.name}" for item in found]
    uses = Counter(ids)
    ids = [item.path if uses[key] > 1 else key for item, key in zip(found, ids, strict=True)]
    if len(set(ids)) < len(ids):  # a path below the root equals the class and name of another frame
        ids = [f"{item.label}/{item.path}" for item in found]
    frames = [
        Frame(key, root / item.path, number[item.label], *_known_group(item, spec, dataset), item.part)
        for item, key in zip(found, ids, strict=True)
    ]
    return tuple(sorted(frames, key=lambda frame: frame.id))


def _known_group(item: Labelled, spec: DatasetSpec, dataset: str) -> tuple[str | None, int | None]:
    found = group_and_number(item, spec)
    if found is None:
        raise DataError(
            f"dataset '{dataset}': '{item.name}' carries no {spec.group_noun} id as spec '{spec.name}' expects",
            fix="remove the file, or use --spec folders (which then splits by frame)",
        )
    return found
