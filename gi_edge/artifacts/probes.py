"""probes.npz of a bundle: built-in images and what the trained model answered on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.remake import export_again
from gi_edge.errors import ArtifactError

PROBES_FILE = "probes.npz"
_ARRAYS = ("name", "pixels", "logits")


@dataclass(frozen=True)
class Probes:
    """Images without labels, and the trained model's answers on them: PyTorch, fp32, adapter not merged."""

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    """[n, size, size, 3] RGB, as a model sees them."""
    logits: NDArray[np.float32]
    """[n, classes]."""


def write_probes(folder: Path, probes: Probes) -> None:
    """Write probes.npz into a bundle's folder; no pickle."""
    np.savez_compressed(
        folder / PROBES_FILE, name=np.array(probes.names, np.str_), pixels=probes.pixels, logits=probes.logits
    )


def has_probes(bundle: Bundle) -> bool:
    """Return whether a bundle has probe images; those written by an earlier gi-edge have none."""
    return (bundle.path / PROBES_FILE).is_file()


def read_probes(bundle: Bundle) -> Probes:
    """Read probes.npz. Raises: ArtifactError if the bundle has none, or they are not of its size and classes."""
    again = export_again(bundle.path)
    path = bundle.path / PROBES_FILE
    if not path.is_file():
        raise ArtifactError(
            f"{bundle.path} has no probe images: an earlier gi-edge wrote it", fix=f"{again}, or give --data DIR"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, pixels, logits = (arrays[name] for name in _ARRAYS)
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} holds no probe images: {error}", fix=again) from error
    size, classes = bundle.manifest.preprocess.size_px, len(bundle.manifest.classes)
    if pixels.shape != (len(names), size, size, 3) or logits.shape != (len(names), classes):
        raise ArtifactError(
            f"{path} is of another model: pixels {pixels.shape}, logits {logits.shape}; "
            f"{size} pixels and {classes} classes are needed",
            fix=again,
        )
    return Probes(tuple(map(str, names)), pixels, logits)
