"""Export a bundle: adapter and held-out frames in, checked models and reference logits out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from gi_edge.artifacts.adapter import Adapter, read_adapter
from gi_edge.artifacts.bundle import (
    LABELS_FILE,
    PREPROCESS_FILE,
    REFERENCE_FILE,
    Bundle,
    BundleManifest,
    ModelEntry,
    Reference,
    models_for,
    read_bundle,
    write_reference,
)
from gi_edge.artifacts.frames_file import check_frames
from gi_edge.artifacts.headroom import Headroom
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.artifacts.manifest import MANIFEST, provenance_now, write_manifest
from gi_edge.artifacts.probes import Probes, write_probes
from gi_edge.artifacts.properties import model_properties
from gi_edge.artifacts.quantisation import Quantisation
from gi_edge.artifacts.split_file import SPLIT_FILE
from gi_edge.config import json_from_value
from gi_edge.data.pixels import DecodedFrames
from gi_edge.data.probes import PROBE_NAMES, probe_pixels
from gi_edge.data.split import csv_from_split
from gi_edge.errors import ConfigError, GateError
from gi_edge.files import atomic_folder, sha256_file
from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.metrics.verdict import Verdict
from gi_edge.modeling.memory import keep_freed_memory
from gi_edge.modeling.methods import load_trained
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Progress
from gi_edge.runtime.session import NOT_IN_ONNX_RUNTIME
from gi_edge_export.config import ExportJob, OnnxForm, opset_of
from gi_edge_export.deploy import deployed_from_model, untyped_from_model
from gi_edge_export.engine.config import EngineJob
from gi_edge_export.engine.run import build_engine, check_settings
from gi_edge_export.graph_types import check_graph_precision
from gi_edge_export.headroom import check_headroom, headroom_from_pixels
from gi_edge_export.merge import merged_from_trained
from gi_edge_export.onnx import write_onnx
from gi_edge_export.quantize.frames import CalibrationFrames, calibration_frames
from gi_edge_export.quantize.run import int8_models
from gi_edge_export.recorded import check_recorded
from gi_edge_export.repository import write_onnx_repository
from gi_edge_export.samples import write_samples
from gi_edge_export.some_frames import MERGE_FRAMES, spread_rows
from gi_edge_export.verify import Trained, check_model

_PACKAGES = ("torch", "timm", "peft", "onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class _Subject:
    """A trained model, merged, with its held-out frames and what it answered on them before the merge."""

    adapter: Adapter
    merged: nn.Module
    held_out: DecodedFrames
    trained: Trained
    calibration: CalibrationFrames | None
    """Where int8 is asked for."""
    probes: Probes


def run(job: ExportJob, progress: Progress) -> Bundle:
    """Export one bundle whose every model passed its gate, or write none.

    Raises: GateError if a model does not answer as the trained one; GiEdgeError of the fitting kind otherwise.
    """
    if job.engine is not None:
        check_settings(job.engine)
        _check_dialects(job)
    keep_freed_memory()
    adapter = read_adapter(job.adapter)
    with atomic_folder(job.output, force=job.force) as folder:
        subject, merge = _subject(job, adapter, progress)
        headroom = _headroom(subject, progress) if "fp16" in job.precisions else None
        models = tuple(
            entry
            for precision in dict.fromkeys(("fp32", *job.precisions))
            for entry in _write_models(folder, job, precision, subject, progress)
        )
        _write_bundle(folder, job, subject, (merge, headroom), models)
        for precision in {entry.precision for entry in models}.intersection(NOT_IN_ONNX_RUNTIME if job.triton else ()):
            progress.say(f"{precision}: left out of model_repository, ONNX Runtime lacks its operators; serve its plan")
    _build_engines(job, models, progress)
    return read_bundle(job.output)


def _check_dialects(job: ExportJob) -> None:
    if "int8" in job.precisions and "tensorrt" not in job.int8.dialects:
        raise ConfigError(
            "an INT8 engine needs an INT8 model for TensorRT, and this one would be for ONNX Runtime",
            fix="add --int8-target both",
        )


def _build_engines(job: ExportJob, models: tuple[ModelEntry, ...], progress: Progress) -> None:
    """The bundle is whole already: an engine that fails leaves it ONNX only, or with those built before."""
    if job.engine is None:
        progress.say(f"{job.name} holds ONNX only; for TensorRT, on the device: gi-edge engine {job.name}")
        return
    progress.say(f"{job.name}: the bundle is whole; engines follow (alone: gi-edge engine {job.name})")
    for model in models_for(models, "tensorrt"):
        build_engine(EngineJob(bundle=job.output, precision=model.precision, settings=job.engine), progress)


def _subject(job: ExportJob, adapter: Adapter, progress: Progress) -> tuple[_Subject, Parity]:
    manifest = adapter.manifest
    calibration = None
    if "int8" in job.precisions:
        calibration = calibration_frames(adapter, job.data, job.int8.frames, progress)
    held_out = held_out_frames(manifest, job.data, adapter.split.ids("test"), progress)
    check_frames(adapter, "test", held_out.frames, held_out.sha256, progress)
    trained = load_trained(adapter, job.weights, progress)
    classifier = PixelClassifier(trained, manifest.preprocess)
    logits = logits_of(classifier, held_out.pixels)
    probes = _probes(classifier, manifest.preprocess.size_px)
    frames = held_out.frames
    truth = np.array([frame.label for frame in frames], dtype=np.int64)
    check_recorded(adapter, [frame.id for frame in frames], truth, logits)
    merged, rows = merged_from_trained(trained), spread_rows(len(logits), MERGE_FRAMES)
    after = logits_of(PixelClassifier(merged, manifest.preprocess), held_out.pixels, rows)
    parity = parity_from_logits(logits[rows], after, manifest.temperature)
    changed = [check.reason for check in limit_checks("fp32", parity) if check.outcome != "pass"]
    if changed:
        raise GateError(
            f"merging changed the model: {'; '.join(changed)}; no bundle was written",
            fix="train the adapter again, with a smaller --learning-rate if its weights have grown large",
        )
    if manifest.method == "lora":
        progress.say(f"merged: logits within {parity.max_abs_error:.1e} of the unmerged model, n = {parity.n}")
    answered = Trained(
        pixels=held_out.pixels,
        logits=logits,
        truth=truth,
        classes=manifest.classes,
        groups=adapter.split.groups_of(frame.id for frame in frames),
        temperature=manifest.temperature,
    )
    return _Subject(adapter, merged, held_out, answered, calibration, probes), parity


def _probes(classifier: PixelClassifier, size_px: int) -> Probes:
    pixels = probe_pixels(size_px)
    return Probes(PROBE_NAMES, pixels, logits_of(classifier, pixels))


def _headroom(subject: _Subject, progress: Progress) -> Headroom:
    network = untyped_from_model(subject.merged, subject.adapter.manifest.preprocess, "uint8", centred=True)
    headroom = headroom_from_pixels(network, subject.held_out.pixels)
    progress.say(headroom.line())
    check_headroom(headroom)
    return headroom


def _write_models(
    folder: Path, job: ExportJob, precision: Precision, subject: _Subject, progress: Progress
) -> Iterator[ModelEntry]:
    """Write, check and judge the models of a precision; int8 has one for each dialect."""
    spec = subject.adapter.manifest.preprocess
    network = deployed_from_model(subject.merged, spec, "fp32" if precision == "int8" else precision, job.input)
    classifier = network if job.input == "uint8" else PixelClassifier(network, spec).eval()
    progress.say(f"{precision}: exporting and checking")
    if precision == "int8":
        assert subject.calibration is not None
        for made in int8_models(folder / "model.fp32.onnx", subject.calibration, spec, job.int8, progress):
            check_graph_precision(made.graph, precision, made.quantisation.kept)
            yield _judged(job, (precision, made.path, made.quantisation), classifier, subject, progress)
        return
    path = folder / f"model.{precision}.onnx"
    adapter = subject.adapter
    form = OnnxForm(input=job.input, temperature=subject.trained.temperature, opset=opset_of(precision))
    known = model_properties(adapter.manifest, sha256_file(adapter.path / MANIFEST), precision)
    properties = {"gi_edge.name": adapter.manifest.name, **known}
    check_graph_precision(write_onnx(path, network, spec, properties, form), precision)
    yield _judged(job, (precision, path, None), classifier, subject, progress)


def _judged(
    job: ExportJob,
    written: tuple[Precision, Path, Quantisation | None],
    classifier: nn.Module,
    subject: _Subject,
    progress: Progress,
) -> ModelEntry:
    precision, path, quantisation = written
    checked = check_model(precision, path, classifier, subject.trained, allow_undecided=job.allow_undecided)
    progress.say(_verdict_line(checked.verdict))
    return ModelEntry(
        precision=precision,
        path=path.name,
        opset=opset_of(precision),
        input=job.input,
        verdict=checked.verdict,
        file_parity=checked.file_parity,
        quantisation=quantisation,
    )


def _verdict_line(verdict: Verdict) -> str:
    parity = verdict.parity
    status = f"undecided, {'; '.join(verdict.reasons)}" if verdict.status == "undecided" else verdict.status
    return (
        f"{verdict.precision}: {status}; {parity.flips} of {parity.n} frames changed class (95 % bound "
        f"{parity.flip_rate_upper95:.1%}), logits within {parity.max_abs_error:.1e}; {verdict.computed_by}"
    )


def _write_bundle(
    folder: Path,
    job: ExportJob,
    subject: _Subject,
    checks: tuple[Parity, Headroom | None],
    models: tuple[ModelEntry, ...],
) -> None:
    merge, headroom = checks
    trained = subject.adapter.manifest
    frames = subject.held_out.frames
    reference = Reference(
        ids=tuple(frame.id for frame in frames),
        sha256=subject.held_out.sha256,
        labels=subject.trained.truth,
        logits=subject.trained.logits,
    )
    write_reference(folder / REFERENCE_FILE, reference)
    write_probes(folder, subject.probes)
    (folder / SPLIT_FILE).write_text(csv_from_split(subject.adapter.split), encoding="utf-8")
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in trained.classes), encoding="utf-8")
    (folder / PREPROCESS_FILE).write_text(json_from_value(trained.preprocess), encoding="utf-8")
    samples = write_samples(folder, subject.adapter, frames, reference, job.samples)
    if job.triton:
        write_onnx_repository(folder, job.name, models_for(models, "onnxruntime"))
    manifest = BundleManifest(
        name=job.name,
        backbone=trained.backbone,
        dataset=trained.dataset,
        split=trained.split,
        classes=trained.classes,
        preprocess=trained.preprocess,
        temperature=trained.temperature,
        calibration=trained.calibration,
        config={
            "adapter": subject.adapter.path.absolute().name,
            "precisions": [entry.precision for entry in models],
            "input": job.input,
        },
        provenance=provenance_now(_PACKAGES),
        adapter_sha256=sha256_file(subject.adapter.path / MANIFEST),
        majority_label=trained.test.majority_label,
        merge=merge,
        models=models,
        samples=samples,
        headroom=headroom,
    )
    write_manifest(folder, manifest)
