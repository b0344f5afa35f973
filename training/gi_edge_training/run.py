"""Train an adapter: images in, adapter folder out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import peft
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import Adapter, AdapterManifest, read_adapter
from gi_edge.artifacts.evaluation import Predictions, evaluation_on_split
from gi_edge.artifacts.manifest import BackboneInfo, DatasetInfo, SplitInfo, provenance_now, write_manifest
from gi_edge.artifacts.split_file import SPLIT_FILE
from gi_edge.data.split import Part, csv_from_split
from gi_edge.errors import DataError, ResumableInterrupt
from gi_edge.files import atomic_folder, disk_errors
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.evaluation import Evaluation
from gi_edge.modeling.backbone import load_backbone
from gi_edge.modeling.lora import attach_lora, save_adapter, weight_counts
from gi_edge.modeling.pixels import PixelClassifier
from gi_edge.progress import Progress, Silent
from gi_edge_training.card import card_from_manifest
from gi_edge_training.checkpoint import CheckpointFile, RunState, check_start, safetensors_errors
from gi_edge_training.config import TrainJob, TrainSettings
from gi_edge_training.data import TrainingData, read_training_data
from gi_edge_training.engine import accelerator_from_settings, device_from_name, peak_memory_bytes, resolved_settings
from gi_edge_training.loader import Frames, TrainingLoader
from gi_edge_training.loop import Fitting, best_epoch, fit
from gi_edge_training.loss import loss_from_settings
from gi_edge_training.processes import (
    check_same,
    first_of_machine,
    logits_together,
    normalise_together,
    quiet_followers,
    share_of,
    together,
)
from gi_edge_training.state import moving_tensors

_PACKAGES = ("torch", "torchvision", "timm", "peft", "accelerate", "numpy", "pillow", "scikit-learn")
_TEXTS_BYTES = 200_000
"""Room for the manifest, the card and the adapter's configuration."""
_GO_ON = "the same command with --resume goes on"


def run(job: TrainJob, progress: Progress) -> Adapter | None:
    """Train one adapter and write it whole or not at all.

    Where torchrun or accelerate started several processes, each calls this: the main one tells and writes, and in the
    others None comes back. An error in one ends all.

    Raises: GiEdgeError of the fitting kind for data, weights, a device or an output that cannot serve.
    """
    device = device_from_name(job.device)
    settings = resolved_settings(job.settings, device)
    accelerator = accelerator_from_settings(settings, device)
    unfinished = job.output.with_name(f".{job.output.name}.unfinished.safetensors")
    folder = None
    with quiet_followers(accelerator), contextlib.ExitStack() as output:
        with together(accelerator):
            if accelerator.is_main_process:
                folder = output.enter_context(atomic_folder(job.output, force=job.force))
                check_start(unfinished, resume=job.resume, force=job.force)
        shown = Silent() if folder is None else progress
        data = first_of_machine(accelerator, lambda: _read(job, shown))
        model, manifest = _train(job.model_copy(update={"settings": settings}), data, accelerator, unfinished, shown)
        with together(accelerator):
            if folder is not None:
                _write(folder, job.output, model, data, manifest)
                output.close()
    if folder is None:
        return None
    unfinished.unlink(missing_ok=True)
    return read_adapter(job.output)


def _read(job: TrainJob, progress: Progress) -> TrainingData:
    """Read the data of a job. Raises: DataError as read_training_data does."""
    try:
        return read_training_data(job, progress)
    except DataError as error:
        if not job.resume:
            raise
        raise DataError(error.message, fix=f"{error.fix}. The run is kept: the same command goes on with it") from error


def _train(
    job: TrainJob, data: TrainingData, accelerator: Accelerator, unfinished: Path, progress: Progress
) -> tuple[peft.PeftModel, AdapterManifest]:
    """Train by resolved settings, in all processes, and return the model at its best and what is to be told of it."""
    settings, device = job.settings, accelerator.device

    def prepare() -> tuple[peft.PeftModel, BackboneInfo]:
        torch.manual_seed(settings.seed)
        backbone = load_backbone(settings.backbone, job.weights, num_classes=len(data.classes), progress=progress)
        model = attach_lora(backbone.model, rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout)
        return model, backbone.info

    model, backbone = first_of_machine(accelerator, prepare)
    classifier = PixelClassifier(model, data.preprocess).to(device)
    with together(accelerator):
        normalise_together(accelerator, classifier)
    _tell(progress, data, backbone, model, _place(accelerator))

    def probabilities(part: Part) -> NDArray[np.float32]:
        return softmax(logits_together(accelerator, classifier, data.pixels, data.rows(part)))

    def judged(part: Part, answers: NDArray[np.float32]) -> Classification:
        return classification_from_labels(
            data.labels[data.rows(part)], answers.argmax(axis=1), data.classes, data.majority
        )

    fingerprint = _fingerprint(settings, data, backbone)
    check_same(accelerator, fingerprint)
    checkpoint, state = CheckpointFile(unfinished, fingerprint), RunState()
    with together(accelerator):
        if job.resume and accelerator.is_main_process:
            state = checkpoint.read()
            progress.say(f"resuming after epoch {len(state.history)} of {settings.epochs}")
    frames = Frames(data.pixels, data.labels, data.rows("train"), data.preprocess)
    loader = TrainingLoader(frames, settings, device, share_of(accelerator))
    fitting = Fitting(
        classifier,
        batches=loader.epoch,
        loss=loss_from_settings(settings, torch.from_numpy(data.class_counts)),
        score=lambda: judged("val", probabilities("val")).macro.f1,
    )
    try:
        history = fit(fitting, settings, accelerator, checkpoint, state, progress)
    except KeyboardInterrupt as stop:
        raise (ResumableInterrupt() if unfinished.exists() else stop) from None
    answers = {part: probabilities(part) for part in ("val", "test")}
    trained, total = weight_counts(model)
    licence = settings.weights_licence or backbone.licence
    manifest = AdapterManifest(
        name=job.name,
        backbone=backbone.model_copy(update={"licence": licence}),
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
        val=judged("val", answers["val"]),
        test=judged("test", answers["test"]),
        evaluation=_evaluation(data, answers["test"], job.name),
    )
    return model, manifest


def _evaluation(data: TrainingData, probabilities: NDArray[np.float32], name: str) -> Evaluation:
    frames = tuple(data.decoded.frames[row] for row in data.rows("test"))
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


def _place(accelerator: Accelerator) -> str:
    """Return where and how a run computes, for people."""
    processes = f"{accelerator.num_processes} processes, " if accelerator.num_processes > 1 else ""
    return f"{processes}{accelerator.device.type}, {accelerator.mixed_precision} mixed precision"


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


def _write(folder: Path, output: Path, model: peft.PeftModel, data: TrainingData, manifest: AdapterManifest) -> None:
    """Fill the folder that becomes output. Raises: ArtifactError, for a full disk with the space that is needed."""
    rows = csv_from_split(data.split).encode()
    needed = sum(tensor.nbytes for tensor in moving_tensors(model).values()) + len(rows) + _TEXTS_BYTES
    with disk_errors(output, needed_bytes=needed, again=_GO_ON), safetensors_errors():
        save_adapter(model, folder)
        (folder / SPLIT_FILE).write_bytes(rows)
        (folder / "README.md").write_text(card_from_manifest(manifest), encoding="utf-8")
        write_manifest(folder, manifest)
