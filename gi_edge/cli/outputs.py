"""Whether a file may be written, asked before any work is done for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from gi_edge.errors import ArtifactError
from gi_edge.files import MARKS, check_writable, disk_errors

_ARTEFACTS = ("adapter", "bundle", "engine", "evaluation")


def check_output_file(
    target: Path,
    *,
    force: bool,
    kinds: Collection[str] | None = None,
    beside: tuple[Path, ...] = (),
    inputs: Iterable[Path] = (),
) -> None:
    """Refuse a file that would alter an artefact, cannot be written, or exists; force helps against the last only.

    kinds: of JSON of gi-edge, which alone are replaced, a file that says something else never; None: any file.
    beside: files that are written along with it. inputs: files to be read. Raises: ArtifactError.
    """
    other = f"--output FILE{'.json' * (target.suffix == '.json')}"
    with disk_errors(target):
        for path in (target, *beside):
            if path.exists() and not path.is_file():
                raise ArtifactError(
                    f"{path} is {'a folder' if path.is_dir() else 'no file'}", fix=f"{other} for a file"
                )
        if target.exists() and any(path.exists() and target.samefile(path) for path in inputs):
            raise ArtifactError(f"{target} is one of the files to be read", fix=f"{other} for another")
        artefact = _artefact_around(target)
        if artefact is not None:
            raise ArtifactError(
                f"{target} would lie in {artefact}, which gi-edge made whole",
                fix=f"{other} for one outside of it",
            )
        if kinds is not None and target.exists() and target.stat().st_size and _kind_of(target) not in kinds:
            raise ArtifactError(
                f"{target} exists and is no {' or '.join(kinds)} of gi-edge, so that not even --force replaces it",
                fix=f"{other} for another",
            )
    for path in (target, *beside):
        check_writable(path, force=force, other=other)


def _artefact_around(target: Path) -> Path | None:
    """Return the innermost artefact folder that a file would lie in; other programs have a manifest.json too."""
    folder = target.parent.resolve()
    for place in (folder, *folder.parents):
        if any((place / mark).is_file() and _kind_of(place / mark) in _ARTEFACTS for mark in MARKS):
            return place
    return None


def _kind_of(path: Path) -> str | None:
    """Return what a JSON file says it is; None if it is none or says nothing."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None
