"""What gi-edge predict is asked about: image files, videos, and folders of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gi_edge.data.layout import IMAGE_SUFFIXES
from gi_edge.errors import DataError
from gi_edge.runtime.sampling import SUFFIXES


@dataclass(frozen=True)
class Source:
    """One file to be classified."""

    path: Path
    name: Path
    """Below the folder that was named, or the file's name where it was itself; a copy is named so."""

    @property
    def is_video(self) -> bool:
        """Whether it is one by its suffix; all else is taken for an image, whatever it is called."""
        return self.path.suffix.lower() in SUFFIXES

    @property
    def copy(self) -> Path:
        """Name of its annotated copy: a JPEG stays one; other images become PNG, which loses nothing."""
        kept = self.path.suffix.lower() in (".jpg", ".jpeg")
        return self.name if kept else self.name.with_suffix(".mp4" if self.is_video else ".png")


def sources_from_arguments(arguments: Iterable[Path]) -> list[Source]:
    """Return every file named, and all images and videos at any depth of a folder named, by name.

    Hidden files and folders are passed over. Raises: DataError if a folder has none.
    """
    found: list[Source] = []
    for argument in arguments:
        if not argument.is_dir():
            found.append(Source(argument, Path(argument.name)))
            continue
        inside = [Source(path, path.relative_to(argument)) for path in _files_below(argument)]
        if not inside:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES)), ", ".join(sorted(SUFFIXES))
            raise DataError(
                f"no image or video files in {argument}", fix=f"name a folder with {kinds[0]} or {kinds[1]} files"
            )
        found += inside
    return found


def distinct(sources: Iterable[Source]) -> tuple[list[Source], list[Path]]:
    """Return each file once, where it was named first, and the paths that named one again.

    Two links to one file are two files, for their names differ.
    """
    folders: dict[Path, Path] = {}
    kept: dict[Path, Source] = {}
    again: list[Path] = []
    for source in sources:
        folder = source.path.parent
        if folder not in folders:
            folders[folder] = folder.resolve()
        if kept.setdefault(folders[folder] / source.path.name, source) is not source:
            again.append(source.path)
    return list(kept.values()), again


def check_output(sources: Iterable[Source], output: Path) -> None:
    """Raise DataError if output is one of the files to be read, which --force must not replace."""
    if output.exists() and any(source.path.exists() and output.samefile(source.path) for source in sources):
        raise DataError(f"{output} is one of the files to be classified", fix="name another --output FILE")


def check_copies(sources: Iterable[Source], folder: Path, *, force: bool) -> None:
    """Raise DataError if two annotated copies in folder would have one name, or one is there already, without force.

    The same if folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file, no folder", fix="name another --annotate DIR")
    by_name: dict[Path, Path] = {}
    for source in sources:
        other = by_name.setdefault(source.copy, source.path)
        if other != source.path:
            raise DataError(
                f"the annotated copies of {other} and {source.path} would both be {folder / source.copy}",
                fix="name a folder above both, or run once for each with its own --annotate DIR",
            )
        target = folder / source.copy
        if target.exists() and (not force or (source.path.exists() and target.samefile(source.path))):
            fix = "name another --annotate DIR" + ("" if force else ", or add --force to replace it")
            raise DataError(f"{target} exists already", fix=fix)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield images and videos, those directly in a folder before those of its folders.

    By their names: links to nothing, pipes and the like are yielded too, so that they are told when they are read.
    """
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    known = IMAGE_SUFFIXES | SUFFIXES
    yield from (path for path in entries if path.suffix.lower() in known and not path.is_dir())
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
