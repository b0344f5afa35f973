"""What is told of a run: its scores, its manifest, and the identity by which it is resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import AdapterManifest
from gi_edge.artifacts.evaluation import Predictions, evaluation_on_split
from gi_edge.artifacts.manifest import BackboneInfo, DatasetInfo, SplitInfo, provenance_now
from gi_edge.data.split import Part
from gi_edge.metrics.calibration import calibration_from_sums, frame_sums, softmax
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.evaluation import Evaluation
from gi_edge.metrics.temperature import calibration_from_logits
from gi_edge.modeling.backbone import Backbone
from gi_edge.modeling.methods import weight_counts
from gi_edge_training.checkpoint import Identity, RunState
from gi_edge_training.config import TrainJob, TrainSettings
from gi_edge_training.data import TrainingData
from gi_edge_training.loop import Validation, best_epoch

_PACKAGES = ("torch", "torchvision", "timm", "peft", "accelerate", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Answers:
    """What the classifier, as it stands, answers on a part of the data; asked anew each time."""

    data: TrainingData
    logits_of_rows: Callable[[NDArray[np.int64]], NDArray[np.float32]]

    def of(self, part: Part) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the logits [n, classes] of the frames of a part, and their classes [n]."""
        rows = self.data.rows(part)
        return self.logits_of_rows(rows), self.data.labels[rows]


def validation_of(answers: Answers) -> Validation:
    """Judge the classifier on the validation part."""
    logits, truth = answers.of("val")
    sums = frame_sums(truth, softmax(logits)).sum(axis=0)
    loss = float(calibration_from_sums(sums, len(truth))["nll"])
    return Validation(_classification(answers.data, logits, truth).macro.f1, loss)


def manifest_of_run(job: TrainJob, answers: Answers, backbone: Backbone, state: RunState) -> AdapterManifest:
    """Score the classifier at its best, fit its temperature on the validation part, and return what is to be told."""
    data, settings = answers.data, job.settings
    (val, val_truth), (test, test_truth) = answers.of("val"), answers.of("test")
    calibration = calibration_from_logits(val, val_truth)
    trained, total = weight_counts(backbone.model)
    licence = settings.weights_licence or backbone.info.licence
    return AdapterManifest(
        name=job.name,
        method=settings.method,
        backbone=backbone.info.model_copy(update={"licence": licence}),
        dataset=_dataset_info(job, data),
        split=_split_info(data),
        classes=data.classes,
        preprocess=data.preprocess,
        temperature=calibration.temperature,
        calibration=calibration,
        config=_config(job, settings),
        provenance=provenance_now(_PACKAGES).model_copy(
            update={"train_seconds": state.seconds, "peak_memory_bytes": state.peak_memory_bytes}
        ),
        trainable_weights=trained,
        total_weights=total,
        history=tuple(state.history),
        best_epoch=best_epoch(state.history),
        val=_classification(data, val, val_truth),
        test=_classification(data, test, test_truth),
        evaluation=_evaluation(data, softmax(test, calibration.temperature), job.name),
    )


def identity_of_run(settings: TrainSettings, data: TrainingData, backbone: BackboneInfo) -> Identity:
    """Return all that decides the outcome of a run: what a resumed run must share, and all processes of one."""
    decisive = {name: value for name, value in settings.recorded().items() if name != "weights_licence"}
    return {
        **decisive,
        "split": data.split.fingerprint,
        "frames": hashlib.sha256(data.pixels.data).hexdigest(),
        "preprocess": data.preprocess.model_dump(mode="json"),
        "base weights": backbone.weights_sha256,
    }


def _classification(data: TrainingData, logits: NDArray[np.float32], truth: NDArray[np.int64]) -> Classification:
    return classification_from_labels(truth, logits.argmax(axis=1), data.classes, data.majority)


def _evaluation(data: TrainingData, probabilities: NDArray[np.float32], name: str) -> Evaluation:
    frames = tuple(data.decoded.frames[row] for row in data.rows("test"))
    predictions = Predictions(frames, probabilities, "adapter", None, "PyTorch, in training")
    return evaluation_on_split(data.split, data.spec, "test", predictions, data.classes, name)


def _config(job: TrainJob, settings: TrainSettings) -> dict[str, object]:
    """Return the settings as they were used; a given split takes the place of those that would make one."""
    config = settings.recorded() | {"recipe": job.recipe}
    if job.split is not None:
        config |= {"split_by": f"file {job.split.name}", "holdout_fraction": None}
    return config


def _dataset_info(job: TrainJob, data: TrainingData) -> DatasetInfo:
    return DatasetInfo(
        name=job.dataset,
        spec=Path(job.spec).name,
        own_spec=data.spec.model_copy(update={"name": Path(job.spec).name}) if job.spec.endswith(".toml") else None,
        exclude=job.exclude,
        licence=data.spec.licence,
        citation=data.spec.citation,
        frames=len(data.decoded.frames),
        unreadable=tuple(item.frame.id for item in data.decoded.unreadable),
    )


def _split_info(data: TrainingData) -> SplitInfo:
    split = data.split
    return SplitInfo(
        kind=split.kind,
        group_noun=split.group_noun,
        fingerprint=split.fingerprint,
        caution=split.caution,
        **split.counts(),
    )
