"""frames.csv: which files the held-out frames of an adapter were when it was trained, by their sha256."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gi_edge.artifacts.adapter import Adapter
from gi_edge.artifacts.remake import train_again
from gi_edge.data.index import Frame
from gi_edge.data.split import Part
from gi_edge.errors import ArtifactError, DataError
from gi_edge.progress import Progress

FRAMES_FILE = "frames.csv"
_HEADER = ["frame", "sha256"]


def csv_from_hashes(sha256: Mapping[str, str]) -> str:
    """Return the CSV form, by frame: columns frame, sha256 (of the image file, 64 hex digits)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows(sorted(sha256.items()))
    return buffer.getvalue()


def check_frames(
    adapter: Adapter, part: Part, frames: Sequence[Frame], sha256: Sequence[str], progress: Progress
) -> None:
    """Hold the files of frames of a part, and their sha256, against those of the adapter's training.

    An adapter of an earlier gi-edge has no record of them, which is told. Nor has any of its training frames, by which
    no model is judged: they are not compared.

    Raises: DataError if a file is another; ArtifactError if the record cannot be read.
    """
    if part == "train":
        return
    name = adapter.path.name
    path = adapter.path / FRAMES_FILE
    noun = "validation" if part == "val" else "test"
    if not path.exists():
        progress.say(
            f"{name} has no {FRAMES_FILE}, an earlier gi-edge trained it: whether the content of its {noun} frames is "
            "still the same could not be compared"
        )
        return
    recorded = _read(path, remake=train_again(adapter.path))
    changed = [frame for frame, found in zip(frames, sha256, strict=True) if recorded.get(frame.id) != found]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(frames)} {noun} frames are not the files that {name} was trained with; the first "
            f"is '{changed[0].id}' ({changed[0].path})",
            fix=f"restore the files, or train again on these frames: {train_again(adapter.path)}",
        )


def _read(path: Path, remake: str) -> dict[str, str]:
    """Return the sha256 by frame. Raises: ArtifactError if the file is not of the CSV form."""
    try:
        lines = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise ArtifactError(f"{path} cannot be read: {error}", fix=remake) from error
    if not lines or lines[0] != _HEADER:
        raise ArtifactError(f"{path} has not the columns {', '.join(_HEADER)}", fix=remake)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(_HEADER) or not re.fullmatch("[0-9a-f]{64}", line[1]):
            raise ArtifactError(f"{path}, line {number} is not a frame and a sha256: {line}", fix=remake)
    return dict(lines[1:])
