"""Adapter: a PEFT folder that plain peft loads, with the manifest that makes it reproducible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gi_edge.artifacts.manifest import Manifest, read_manifest
from gi_edge.data.split import Split, split_from_csv
from gi_edge.errors import ArtifactError
from gi_edge.metrics.classification import Classification

SPLIT_FILE = "split.csv"


class AdapterManifest(Manifest):
    """What an adapter is and how it scored."""

    kind: Literal["adapter"] = "adapter"
    trainable_weights: int
    """LoRA and head weights that were trained."""
    total_weights: int
    """All weights of the model with LoRA and head."""
    val: Classification
    test: Classification


@dataclass(frozen=True)
class Adapter:
    """A checked adapter folder."""

    path: Path
    manifest: AdapterManifest
    split: Split


def read_adapter(path: Path) -> Adapter:
    """Read and check an adapter. Raises: ArtifactError if it is not whole and unaltered."""
    remake = f"gi-edge train --dataset {path.name} --force"
    manifest = read_manifest(path, AdapterManifest, "adapter", remake)
    try:
        text = (path / SPLIT_FILE).read_text(encoding="utf-8")
        split = split_from_csv(text, group_noun=manifest.split.group_noun)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path / SPLIT_FILE} is no split: {error}", fix=remake) from error
    if split.fingerprint != manifest.split.fingerprint:
        raise ArtifactError(f"{path / SPLIT_FILE} is not the split that the manifest names", fix=remake)
    return Adapter(path, manifest, split)
