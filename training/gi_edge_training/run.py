"""Train an adapter: images in, adapter folder out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from gi_edge.artifacts.adapter import Adapter, AdapterManifest, method_words, read_adapter
from gi_edge.artifacts.frames_file import FRAMES_FILE, csv_from_hashes
from gi_edge.artifacts.manifest import write_manifest
from gi_edge.artifacts.split_file import SPLIT_FILE
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.data.split import csv_from_split
from gi_edge.errors import DataError, ResumableInterrupt
from gi_edge.files import atomic_folder, disk_errors
from gi_edge.metrics.calibration import Calibration
from gi_edge.modeling.backbone import Backbone
from gi_edge.modeling.memory import keep_freed_memory
from gi_edge.modeling.methods import check_request, prepare_model, save_trained, weight_counts
from gi_edge.modeling.pixels import PixelClassifier
from gi_edge.progress import Progress, Silent
from gi_edge_training.card import card_from_manifest
from gi_edge_training.checkpoint import CheckpointFile, RunState, check_start, safetensors_errors
from gi_edge_training.config import TrainJob, TrainSettings
from gi_edge_training.contact_sheet import write_contact_sheet
from gi_edge_training.curves import CURVES_FILE, curves_from_history
from gi_edge_training.data import TrainingData, read_training_data
from gi_edge_training.engine import accelerator_from_settings, device_from_name, resolved_settings
from gi_edge_training.loader import Frames, TrainingLoader
from gi_edge_training.loop import Fitting, fit
from gi_edge_training.loss import loss_from_settings
from gi_edge_training.memory import begin_peak
from gi_edge_training.processes import (
    check_same,
    first_of_machine,
    logits_together,
    normalise_together,
    quiet_followers,
    share_of,
    together,
    trains_batch_norm,
)
from gi_edge_training.record import Answers, identity_of_run, manifest_of_run, validation_of
from gi_edge_training.state import moving_tensors
from gi_edge_training.trackers import LogPlace, RunLog, check_tracker

_TEXTS_BYTES = 200_000
"""Room for the manifest, the card and the adapter's configuration."""
_GO_ON = "the same command with --resume goes on"


def run(job: TrainJob, progress: Progress, begun: Callable[[], None] = lambda: None) -> Adapter | None:
    """Train one adapter and write it whole or not at all.

    begun is called once, when data, backbone and an unfinished run were accepted and the first epoch begins.

    Where torchrun or accelerate started several processes, each calls this: the main one tells and writes, and in the
    others None comes back. An error in one ends all.

    Raises: GiEdgeError of the fitting kind for data, weights, a device or an output that cannot serve.
    """
    device = device_from_name(job.device)
    settings = resolved_settings(job.settings, device)
    accelerator = accelerator_from_settings(settings, device)
    unfinished = job.output.with_name(f".{job.output.name}.unfinished.safetensors")
    if device.type == "cpu":
        keep_freed_memory()
    begin_peak(device)
    folder = None
    with quiet_followers(accelerator), contextlib.ExitStack() as output:
        with together(accelerator):
            check_tracker(job.tracker)
            preprocess = check_request(job.request(), image_size_px=settings.image_size_px, fit=settings.fit)
            if accelerator.is_main_process:
                folder = output.enter_context(atomic_folder(job.output, force=job.force))
                check_start(unfinished, resume=job.resume, force=job.force)
        shown = Silent() if folder is None else progress
        data = first_of_machine(accelerator, lambda: _read(job, preprocess, shown))
        resolved = job.model_copy(update={"settings": settings})
        model, manifest = _train(resolved, data, accelerator, unfinished, (shown, begun))
        with together(accelerator):
            if folder is not None:
                _write(folder, job.output, model, data, manifest)
                output.close()
    if folder is None:
        return None
    unfinished.unlink(missing_ok=True)
    return read_adapter(job.output)


def _read(job: TrainJob, preprocess: PreprocessSpec, progress: Progress) -> TrainingData:
    """Read the data of a job. Raises: DataError as read_training_data does."""
    try:
        return read_training_data(job, preprocess, progress)
    except DataError as error:
        if not job.resume:
            raise
        raise DataError(error.message, fix=f"{error.fix}. The run is kept: the same command goes on with it") from error


def _train(
    job: TrainJob,
    data: TrainingData,
    accelerator: Accelerator,
    unfinished: Path,
    tell: tuple[Progress, Callable[[], None]],
) -> tuple[nn.Module, AdapterManifest]:
    """Train by resolved settings, in all processes, and return the model at its best and what is to be told of it."""
    (progress, begun), settings, device = tell, job.settings, accelerator.device

    def prepare() -> Backbone:
        torch.manual_seed(settings.seed)
        return prepare_model(job.request(), num_classes=len(data.classes), progress=progress)

    backbone = first_of_machine(accelerator, prepare)
    classifier = PixelClassifier(backbone.model, data.preprocess).to(device)
    with together(accelerator):
        normalise_together(accelerator, classifier)
    _tell(progress, data, backbone, settings, _place(accelerator))
    answers = Answers(data, lambda rows: logits_together(accelerator, classifier, data.pixels, rows))
    identity = identity_of_run(settings, data, backbone.info)
    check_same(accelerator, identity)
    checkpoint, state = CheckpointFile(unfinished, identity), RunState()
    with together(accelerator):
        if job.resume and accelerator.is_main_process:
            state = checkpoint.read()
            progress.say(f"resuming after epoch {len(state.history)} of {settings.epochs}")
        elif accelerator.is_main_process:
            write_contact_sheet(data, job, progress)
    frames = Frames(data.pixels, data.labels, data.rows("train"), data.preprocess)
    smallest = max(2, accelerator.num_processes) if trains_batch_norm(classifier) else 1
    fitting = Fitting(
        classifier,
        batches=TrainingLoader(frames, settings, device, share_of(accelerator), smallest).epoch,
        loss=loss_from_settings(settings, torch.from_numpy(data.class_counts)),
        score=lambda: validation_of(answers),
        log=_log(job),
    )
    begun()
    try:
        fit(fitting, settings, accelerator, checkpoint, state, progress)
        manifest = manifest_of_run(job, answers, backbone, state)
    except KeyboardInterrupt as stop:
        raise (ResumableInterrupt() if unfinished.exists() else stop) from None
    if manifest.calibration is not None:
        _tell_temperature(progress, manifest.calibration)
    return backbone.model, manifest


def _log(job: TrainJob) -> RunLog:
    place = None if job.log is None or job.tracker == "none" else LogPlace(job.tracker, job.log)
    return RunLog(place, {"dataset": job.dataset, **job.settings.recorded()})


def _place(accelerator: Accelerator) -> str:
    """Return where and how a run computes, for people."""
    processes = f"{accelerator.num_processes} processes, " if accelerator.num_processes > 1 else ""
    return f"{processes}{accelerator.device.type}, {accelerator.mixed_precision} mixed precision"


def _tell(progress: Progress, data: TrainingData, backbone: Backbone, settings: TrainSettings, where: str) -> None:
    trained, total = weight_counts(backbone.model)
    counts = data.split.counts()
    progress.say(
        f"{backbone.info.architecture} ({backbone.info.weights}) on {where}: "
        f"{method_words(settings.method, settings.recorded())}, "
        f"{trained:,} of {total:,} weights train ({trained / total:.2%})"
    )
    progress.say(
        f"{len(data.classes)} classes, {counts['train']} training, {counts['val']} validation, "
        f"{counts['test']} test frames. {data.split.caution}"
    )
    seen = set(data.labels[data.rows("val")])
    unseen = [label for number, label in enumerate(data.classes) if number not in seen]
    if unseen:
        progress.say(
            f"no validation frame of {', '.join(unseen)}: neither the choice of the epoch nor the temperature knows "
            f"{'this class' if len(unseen) == 1 else 'these classes'}"
        )


def _tell_temperature(progress: Progress, found: Calibration) -> None:
    progress.say(
        f"temperature {found.temperature:.2f} ({found.low:.2f} to {found.high:.2f}), fitted on {found.n} validation "
        f"frames: NLL {found.nll_before:.3f} → {found.nll_after:.3f}, ECE {found.ece_before:.3f} → "
        f"{found.ece_after:.3f}{f'; {found.note}' if found.note else ''}"
    )


def _write(folder: Path, output: Path, model: nn.Module, data: TrainingData, manifest: AdapterManifest) -> None:
    """Fill the folder that becomes output. Raises: ArtifactError, for a full disk with the space that is needed."""
    rows = csv_from_split(data.split).encode()
    hashes = csv_from_hashes(data.held_out_sha256()).encode()
    texts = len(rows) + len(hashes) + _TEXTS_BYTES
    needed = sum(tensor.nbytes for tensor in moving_tensors(model).values()) + texts
    with disk_errors(output, needed_bytes=needed, again=_GO_ON), safetensors_errors():
        save_trained(model, manifest.method, folder)
        (folder / SPLIT_FILE).write_bytes(rows)
        (folder / FRAMES_FILE).write_bytes(hashes)
        curves = curves_from_history(manifest.history, manifest.best_epoch)
        (folder / CURVES_FILE).write_text(curves, encoding="utf-8")
        (folder / "README.md").write_text(card_from_manifest(manifest), encoding="utf-8")
        write_manifest(folder, manifest)
