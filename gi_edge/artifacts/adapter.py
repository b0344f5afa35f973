"""Adapter: a PEFT folder that plain peft loads, with the manifest that makes it reproducible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gi_edge.artifacts.manifest import Manifest, read_manifest
from gi_edge.artifacts.split_file import read_split_of
from gi_edge.config import Value
from gi_edge.data.split import Split
from gi_edge.metrics.classification import Classification
from gi_edge.metrics.evaluation import Evaluation


class EpochRecord(Value):
    """One epoch of a training."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the batches of what training minimises."""
    val_macro_f1: float
    val_loss: float | None = None
    """Mean natural log loss of the validation frames at temperature 1, without class weights or smoothing; None where
    it was not recorded."""
    learning_rate: float | None = None
    """Of the last step of the epoch; None where it was not recorded."""


class AdapterManifest(Manifest):
    """What an adapter is and how it scored."""

    kind: Literal["adapter"] = "adapter"
    trainable_weights: int
    """LoRA and head weights that were trained."""
    total_weights: int
    """All weights of the model with LoRA and head."""
    history: tuple[EpochRecord, ...]
    best_epoch: int
    """The epoch whose weights these are: the first of highest validation macro-F1."""
    val: Classification
    test: Classification
    evaluation: Evaluation
    """Of the test part: all scores with their intervals and both baselines."""


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
    return Adapter(path, manifest, read_split_of(path, manifest, remake))
