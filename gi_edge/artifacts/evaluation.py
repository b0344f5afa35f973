"""Evaluations: what `gi-edge evaluate` found, as JSON, and the predictions it rests on, as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.manifest import Manifest
from gi_edge.config import Value
from gi_edge.data.audit_rows import rows_from_split
from gi_edge.data.baseline import majority_baseline, pixel_free_baseline
from gi_edge.data.index import Frame
from gi_edge.data.spec import DatasetSpec
from gi_edge.data.split import Part, Split, SplitKind
from gi_edge.metrics.evaluation import Baselines, Context, Evaluation, evaluation_from_predictions
from gi_edge.metrics.parity import Precision


@dataclass(frozen=True)
class Predictions:
    """What a model answered on the frames of one part."""

    frames: tuple[Frame, ...]
    probabilities: NDArray[np.float32]
    """[n, classes]."""
    source: Literal["adapter", "bundle"]
    precision: Precision | None
    """Of the model file of a bundle; None for an adapter, which PyTorch runs in fp32."""
    runtime: str
    """What computed them, such as "onnxruntime 1.31.1, CPUExecutionProvider"."""

    @property
    def truth(self) -> NDArray[np.int64]:
        """[n] class indices."""
        return np.array([frame.label for frame in self.frames], dtype=np.int64)


class EvaluationResult(Value):
    """One model on one part of the dataset it was made from."""

    schema_version: Literal[1] = 1
    kind: Literal["evaluation"] = "evaluation"
    created: str
    """UTC, ISO 8601."""
    gi_edge_version: str
    name: str
    """Of the adapter or bundle."""
    source: Literal["adapter", "bundle"]
    precision: Precision | None
    runtime: str
    dataset: str
    dataset_licence: str
    backbone: str
    backbone_licence: str
    split_kind: SplitKind
    split_caution: str
    """What a score on this split can and cannot show, one sentence."""
    split_fingerprint: str
    temperature: float = 1.0
    """The probabilities are the softmax of the logits divided by it."""
    evaluation: Evaluation


def evaluation_on_split(
    split: Split, spec: DatasetSpec, part: Part, predictions: Predictions, classes: tuple[str, ...], model: str
) -> Evaluation:
    """Score predictions; intervals resample the groups that the split names, or frames where it names none.

    Raises: DataError if the predictions do not fit.
    """
    group_of = {row.frame: row.group for row in split.rows}
    groups = [group_of[frame.id] for frame in predictions.frames]
    known = all(groups)
    context = Context(
        model=model if predictions.precision is None else f"{model} {predictions.precision}",
        part=part,
        group_noun=split.group_noun if known else None,
        baselines=baselines_from_split(split, spec, part),
    )
    return evaluation_from_predictions(
        predictions.truth, predictions.probabilities, classes, context, groups if known else None
    )


def result_from_evaluation(
    manifest: Manifest, split: Split, evaluation: Evaluation, predictions: Predictions | None = None
) -> EvaluationResult:
    """Say what an evaluation is of. predictions: None for the scores an adapter carries from its training."""
    return EvaluationResult(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        gi_edge_version=metadata.version("gi-edge"),
        name=manifest.name,
        source=predictions.source if predictions else "adapter",
        precision=predictions.precision if predictions else None,
        runtime=predictions.runtime if predictions else "PyTorch, in training",
        dataset=manifest.dataset.name,
        dataset_licence=manifest.dataset.licence,
        backbone=manifest.backbone.architecture,
        backbone_licence=manifest.backbone.licence,
        split_kind=split.kind,
        split_caution=split.caution,
        split_fingerprint=split.fingerprint,
        temperature=manifest.temperature,
        evaluation=evaluation,
    )


def baselines_from_split(split: Split, spec: DatasetSpec, part: Part) -> Baselines:
    """Score on a part the rules that look at no pixels; they learn from the training part."""
    rows = rows_from_split(split, spec)
    train, scored = ([row for row in rows if row.part == name] for name in ("train", part))
    majority, pixel_free = majority_baseline(train, scored), pixel_free_baseline(train, scored)
    return Baselines(
        majority_label=majority.label,
        majority_accuracy=majority.accuracy,
        majority_macro_f1=majority.macro_f1,
        pixel_free_accuracy=None if pixel_free is None else pixel_free.accuracy,
    )


def csv_from_predictions(predictions: Predictions, classes: tuple[str, ...]) -> str:
    """Return one line per frame: frame, group, label, answer, and a probability per class."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["frame", "group", "label", "answer", *classes])
    for frame, row in zip(predictions.frames, predictions.probabilities, strict=True):
        answer = classes[int(row.argmax())]
        writer.writerow([frame.id, frame.group or "", classes[frame.label], answer, *(f"{value:.6f}" for value in row)])
    return buffer.getvalue()
