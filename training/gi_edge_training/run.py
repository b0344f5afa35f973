"""Train an adapter: images in, adapter folder out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import peft
import torch
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import Adapter, AdapterManifest, read_adapter
from gi_edge.artifacts.evaluation import Predictions, evaluation_on_split
from gi_edge.artifacts.manifest import BackboneInfo, DatasetInfo, SplitInfo, provenance_now, write_manifest
from gi_edge.artifacts.split_file import SPLIT_FILE
from gi_edge.data.split import Part, csv_from_split
from gi_edge.errors import ResumableInterrupt
from gi_edge.files import atomic_folder
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.evaluation import Evaluation
from gi_edge.modeling.backbone import load_backbone
from gi_edge.modeling.lora import attach_lora, save_adapter, weight_counts
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Progress
from gi_edge_training.card import card_from_manifest
from gi_edge_training.checkpoint import CheckpointFile, RunState, check_no_unfinished_run
from gi_edge_training.config import TrainJob, TrainSettings
from gi_edge_training.contact_sheet import write_contact_sheet
from gi_edge_training.data import TrainingData, read_training_data, training_loader
from gi_edge_training.engine import accelerator_from_settings, device_from_name, peak_memory_bytes, resolved_settings
from gi_edge_training.loop import Fitting, best_epoch, fit
from gi_edge_training.loss import loss_from_settings

_PACKAGES = ("torch", "torchvision", "timm", "peft", "accelerate", "numpy", "pillow", "scikit-learn")


def run(job: TrainJob, progress: Progress) -> Adapter:
    """Train one adapter and write it whole or not at all.

    Raises: GiEdgeError of the fitting kind for data, weights, a device or an output that cannot serve.
    """
    device = device_from_name(job.device)
    settings = resolved_settings(job.settings, device)
    unfinished = job.output.with_name(f".{job.output.name}.unfinished.safetensors")
    if not job.resume:
        check_no_unfinished_run(unfinished, force=job.force)
    with atomic_folder(job.output, force=job.force) as folder:
        data = read_training_data(job, progress)
        torch.manual_seed(settings.seed)
        backbone = load_backbone(settings.backbone, job.weights, num_classes=len(data.classes), progress=progress)
        model = attach_lora(backbone.model, rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout)
        classifier = PixelClassifier(model, data.preprocess).to(device)
        _tell(progress, data, backbone.info, model, f"{device.type}, {settings.mixed_precision} mixed precision")

        def score(part: Part = "val") -> Classification:
            rows, probabilities = _answers(classifier, data, part)
            answer = probabilities.argmax(axis=1)
            return classification_from_labels(data.labels[rows], answer, data.classes, data.majority)

        checkpoint = CheckpointFile(unfinished, _fingerprint(settings, data, backbone.info))
        state = checkpoint.read() if job.resume else RunState()
        if state.history:
            progress.say(f"resuming after epoch {len(state.history)} of {settings.epochs}")
        fitting = Fitting(
            classifier,
            batches=lambda epoch: training_loader(data, settings, epoch),
            loss=loss_from_settings(settings, torch.from_numpy(data.class_counts)),
            score=lambda: score().macro.f1,
        )
        accelerator = accelerator_from_settings(settings, device)
        write_contact_sheet(data, job, progress)
        try:
            history = fit(fitting, settings, accelerator, checkpoint, state, progress)
        except KeyboardInterrupt as stop:
            raise (ResumableInterrupt() if unfinished.exists() else stop) from None
        trained, total = weight_counts(model)
        licence = settings.weights_licence or backbone.info.licence
        manifest = AdapterManifest(
            name=job.name,
            backbone=backbone.info.model_copy(update={"licence": licence}),
            dataset=_dataset_info(job, data),
            split=_split_info(data),
            classes=data.classes,
            preprocess=data.preprocess,
            config=_config(job, settings),
            provenance=provenance_now(_PACKAGES).model_copy(
                update={"train_seconds": state.seconds, "peak_memory_bytes": peak_memory_bytes(device)}
            ),
            trainable_weights=trained,
            total_weights=total,
            history=history,
            best_epoch=best_epoch(history),
            val=score("val"),
            test=score("test"),
            evaluation=_evaluation(classifier, data, job.name),
        )
        _write(folder, model, data, manifest)
    checkpoint.remove()
    return read_adapter(job.output)


def _answers(
    classifier: PixelClassifier, data: TrainingData, part: Part
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the rows of a part [n] and the probabilities [n, classes] of its frames."""
    rows = data.rows(part)
    return rows, softmax(logits_of(classifier, data.pixels, rows))


def _evaluation(classifier: PixelClassifier, data: TrainingData, name: str) -> Evaluation:
    rows, probabilities = _answers(classifier, data, "test")
    frames = tuple(data.decoded.frames[row] for row in rows)
    predictions = Predictions(frames, probabilities, "adapter", None, "PyTorch, in training")
    return evaluation_on_split(data.split, data.spec, "test", predictions, data.classes, name)


def _config(job: TrainJob, settings: TrainSettings) -> dict[str, object]:
    """Return the settings as they were used; a given split takes the place of those that would make one."""
    config = settings.model_dump(mode="json")
    if job.split is not None:
        config |= {"split_by": f"file {job.split.name}", "holdout_fraction": None}
    return config


def _fingerprint(settings: TrainSettings, data: TrainingData, backbone: BackboneInfo) -> str:
    """Return a sha256 of all that decides the outcome of a run."""
    parts = (
        settings.model_dump(mode="json"),
        data.split.fingerprint,
        data.preprocess.model_dump(mode="json"),
        backbone.weights_sha256,
    )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _tell(progress: Progress, data: TrainingData, backbone: BackboneInfo, model: peft.PeftModel, where: str) -> None:
    trained, total = weight_counts(model)
    counts = data.split.counts()
    progress.say(
        f"{backbone.architecture} ({backbone.weights}) on {where}: "
        f"{trained:,} of {total:,} weights train ({trained / total:.1%})"
    )
    progress.say(
        f"{len(data.classes)} classes, {counts['train']} training, {counts['val']} validation, "
        f"{counts['test']} test frames. {data.split.caution}"
    )


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


def _write(folder: Path, model: peft.PeftModel, data: TrainingData, manifest: AdapterManifest) -> None:
    save_adapter(model, folder)
    (folder / SPLIT_FILE).write_text(csv_from_split(data.split), encoding="utf-8")
    (folder / "README.md").write_text(card_from_manifest(manifest), encoding="utf-8")
    write_manifest(folder, manifest)
