"""The files of a dataset folder as delivered: images, label files and archives, by one walk; nothing is opened."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gi_edge.data.classnames import class_key
from gi_edge.data.spec import DatasetSpec
from gi_edge.errors import DataError, did_you_mean

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
FOREIGN_FOLDERS = ("@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information")
"""What storage and operating systems put beside the data: thumbnails, bins."""
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


@dataclass(frozen=True)
class Labelled:
    """An image with its class, group and part as folders or a table give them. path is below the root, with "/"."""

    path: str
    label: str
    group: str | None = None
    part: str | None = None

    @property
    def name(self) -> str:
        """The file name."""
        return self.path.rpartition("/")[2]


@dataclass
class Listing:
    """What a walk found. Folders are paths below the root, with "/"; "" is the root."""

    images: dict[str, list[str]] = field(default_factory=dict)
    """Folder to the names of the images directly in it, sorted; folders without one are absent."""
    folders: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    """Paths of *.csv files."""
    archives: list[str] = field(default_factory=list)


def list_folder(root: Path, *, nested: bool, skip: Iterable[str] = ()) -> Listing:
    """List a folder and the folders in it, nested ones too or not, past hidden names and folders named in skip.

    Raises: DataError if a folder cannot be read.
    """
    listing = Listing()
    skipped = {class_key(name) for name in (*FOREIGN_FOLDERS, *skip)}
    pending: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while pending:
        folder, above = pending.pop()
        for path, target in _list_one(root, folder, listing):
            if class_key(path.rpartition("/")[2]) in skipped or target in above:  # the latter: a link to itself
                continue
            listing.folders.append(path)
            if nested or not folder:
                pending.append((path, (*above, target)))
    for found in (listing.folders, listing.tables, listing.archives):
        found.sort()
    return listing


def _list_one(root: Path, folder: str, listing: Listing) -> list[tuple[str, str]]:
    """File the entries of one folder; return each folder in it with the place that it leads to."""
    images, below = [], []
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name, path = entry.name, f"{folder}/{entry.name}" if folder else entry.name
                if name.startswith("."):
                    continue
                if not _leads_somewhere(entry):
                    continue
                if entry.is_dir():
                    below.append((path, os.path.realpath(entry.path)))
                elif entry.is_file():
                    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122, a Path each costs seconds in 50,000 files
                    if suffix in IMAGE_SUFFIXES:
                        images.append(name)
                    elif suffix == ".csv":
                        listing.tables.append(path)
                    elif name.lower().endswith(ARCHIVE_SUFFIXES):
                        listing.archives.append(path)
    except OSError as error:
        raise DataError(
            f"{root / folder} cannot be read: {error.strerror}", fix=f"chmod -R u+rX {shlex.quote(str(root))}"
        ) from error
    if images:
        listing.images[folder] = sorted(images)
    return below


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is no symbolic link, or one that does not end in a loop or in nothing."""
    return not entry.is_symlink() or os.path.exists(entry.path)  # noqa: PTH110, as above


def labelled_from_folders(
    listing: Listing, spec: DatasetSpec, dataset: str, exclude: Collection[str] = ()
) -> list[Labelled]:
    """Return the images in class folders, with class and part. Images directly in the root belong to no class.

    Raises: UnknownClassError if folders with images belong to no class of the spec and are not named in exclude.
    """
    spellings = spec.class_spellings
    parts = {class_key(name): part for name, part in spec.part_folders.items()}
    excluded = {class_key(name) for name in exclude}
    found, unknown = [], []
    for folder, names in sorted(listing.images.items()):
        if not folder:
            continue
        above = [class_key(name) for name in folder.split("/")]
        if spellings:
            label = next((spellings[key] for key in reversed(above) if key in spellings), None)
        else:
            label = folder.rpartition("/")[2]
        if label is None:
            if excluded.intersection(above):
                continue
            unknown.append(folder)
            continue
        part = next((parts[key] for key in above if key in parts), None)
        found += [Labelled(f"{folder}/{name}", label, part=part) for name in names]
    if unknown:
        raise UnknownClassError(unknown, spec, dataset)
    return found


class UnknownClassError(DataError):
    """Folders with images are no class of the spec. names: their last parts, in order."""

    def __init__(self, folders: Sequence[str], spec: DatasetSpec, dataset: str) -> None:
        self.names = tuple(dict.fromkeys(folder.rpartition("/")[2] for folder in folders))
        more = f", nor are {len(folders) - 1} more" if len(folders) > 1 else ""
        super().__init__(
            f"dataset '{dataset}': folder '{folders[0]}' is no class of spec '{spec.name}'{more} "
            f"({did_you_mean(self.names[0], spec.classes)})",
            fix="rename the folders, or leave them out: "
            + " ".join(f"--exclude {shlex.quote(name)}" for name in self.names),
        )


def check_unpacked(listing: Listing, labels: Iterable[str], spec: DatasetSpec, where: tuple[str, Path]) -> None:
    """Raise if archives lie where class folders should: fewer than two classes, or an archive of a class not found.

    where: name and root of the dataset. Raises: DataError with the command that unpacks.
    """
    dataset, root = where
    found = set(labels)
    spellings = spec.class_spellings
    packed = [path for path in listing.archives if spellings.get(class_key(_stem(path))) not in {None, *found}]
    if len(found) < 2:
        packed = packed or listing.archives
    if packed:
        raise DataError(
            f"dataset '{dataset}': {len(packed)} archive(s) in {root} are not unpacked, the first: {packed[0]}",
            fix=_unpack_command(packed, spec).replace("{root}", shlex.quote(str(root))),
        )


def _unpack_command(packed: Iterable[str], spec: DatasetSpec) -> str:
    """Return the spec's command if it is for archives of this kind, else one for each kind."""
    kinds = sorted({_suffix(path) for path in packed})
    if spec.unpack and all(kind in spec.unpack for kind in kinds):
        return spec.unpack
    unpackers = {kind: "unzip -n -q" if kind == ".zip" else "tar -xf" for kind in kinds}
    return " && ".join(f"find {{root}} -iname '*{kind}' -execdir {unpackers[kind]} {{}} \\;" for kind in kinds)


def _suffix(path: str) -> str:
    return next(suffix for suffix in ARCHIVE_SUFFIXES if path.lower().endswith(suffix))


def _stem(path: str) -> str:
    return PurePosixPath(path).name[: -len(_suffix(path))]
