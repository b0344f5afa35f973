"""split.csv: the split that an adapter was trained by, carried by it and by its bundles."""

from __future__ import annotations

from pathlib import Path

from gi_edge.artifacts.manifest import Manifest
from gi_edge.data.split import Split, split_from_csv
from gi_edge.errors import ArtifactError

SPLIT_FILE = "split.csv"


def read_split_of(folder: Path, manifest: Manifest, remake: str) -> Split:
    """Read the split of an artefact folder. remake is the command that makes the folder anew.

    Raises: ArtifactError if it is absent, no split, or not the one that the manifest names.
    """
    path = folder / SPLIT_FILE
    try:
        split = split_from_csv(path.read_text(encoding="utf-8"), group_noun=manifest.split.group_noun)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is no split: {error}", fix=remake) from error
    if split.fingerprint != manifest.split.fingerprint:
        raise ArtifactError(f"{path} is not the split that the manifest names", fix=remake)
    return split
