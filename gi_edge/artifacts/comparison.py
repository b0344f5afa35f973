"""Adapters beside one another on the same test frames: what each costs, what each scores, and how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gi_edge.artifacts.adapter import Adapter, Method, method_words
from gi_edge.artifacts.evaluation import Predictions, evaluation_on_split
from gi_edge.config import Value
from gi_edge.errors import DataError
from gi_edge.metrics.evaluation import Evaluation
from gi_edge.metrics.uncertainty import Difference, difference_interval

COMPARED: tuple[Literal["macro_f1", "accuracy", "mcc"], ...] = ("macro_f1", "accuracy", "mcc")
"""Scores whose paired differences are given."""


class ComparedAdapter(Value):
    """One adapter of a comparison."""

    name: str
    backbone: str
    method: Method
    shape: str
    """The method and its ranks in words."""
    rank: int | None
    """Of LoRA, the same in all stages; None otherwise."""
    trainable_weights: int
    total_weights: int
    size_bytes: int
    """Of the adapter's weights on disk."""
    train_seconds: float | None
    """Wall time of the training loop, resumed parts together; None where it was not recorded."""
    peak_memory_bytes: int | None
    """Largest memory of the main training process, without the files it maps (on a GPU: of PyTorch on it)."""
    evaluation: Evaluation
    differences: dict[str, Difference]
    """By score: this adapter minus the first on the same resampled frames; empty for the first."""


class Comparison(Value):
    """Adapters of one dataset on one test part."""

    schema_version: Literal[1] = 1
    kind: Literal["comparison"] = "comparison"
    dataset: str
    split_caution: str
    split_fingerprint: str
    adapters: tuple[ComparedAdapter, ...]


def check_comparable(adapters: Sequence[Adapter]) -> None:
    """Raise DataError unless all adapters were tested on the same frames of the same classes."""
    first = adapters[0]
    for other in adapters[1:]:
        same_frames = first.split.ids("test") == other.split.ids("test")
        if not same_frames or first.manifest.classes != other.manifest.classes:
            raise DataError(
                f"{first.manifest.name} and {other.manifest.name} were not tested on the same frames and classes",
                fix="train them on one split: gi-edge data split, then gi-edge train --split FILE --name NAME for each",
            )


def comparison_of(adapters: Sequence[Adapter], answers: Sequence[Predictions]) -> Comparison:
    """Compare adapters by what they answered on the test part; answers are in the order of the adapters.

    Raises: DataError if they were not tested on the same frames.
    """
    check_comparable(adapters)
    first = adapters[0]
    group_of = {row.frame: row.group for row in first.split.rows}
    groups = [group_of[frame.id] for frame in answers[0].frames]
    return Comparison(
        dataset=first.manifest.dataset.name,
        split_caution=first.split.caution,
        split_fingerprint=first.split.fingerprint,
        adapters=tuple(
            _compared(adapter, own, answers[0], groups if all(groups) else None)
            for adapter, own in zip(adapters, answers, strict=True)
        ),
    )


def _compared(adapter: Adapter, own: Predictions, first: Predictions, groups: list[str] | None) -> ComparedAdapter:
    manifest = adapter.manifest
    classes = manifest.classes
    ours, theirs = (item.probabilities.argmax(axis=1).astype(np.int64) for item in (own, first))
    return ComparedAdapter(
        name=manifest.name,
        backbone=manifest.backbone.architecture,
        method=manifest.method,
        shape=method_words(manifest.method, manifest.config),
        rank=None if manifest.config.get("stage_ranks") else manifest.config.get("rank"),
        trainable_weights=manifest.trainable_weights,
        total_weights=manifest.total_weights,
        size_bytes=adapter.weights_path.stat().st_size,
        train_seconds=manifest.provenance.train_seconds,
        peak_memory_bytes=manifest.provenance.peak_memory_bytes,
        evaluation=evaluation_on_split(adapter.split, manifest.dataset.rules(), "test", own, classes, manifest.name),
        differences={}
        if own is first
        else {score: difference_interval(own.truth, theirs, ours, score, groups) for score in COMPARED},
    )
