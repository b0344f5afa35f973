"""Export a bundle: adapter and held-out frames in, checked models and reference logits out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
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
    read_bundle,
    write_reference,
)
from gi_edge.artifacts.headroom import Headroom
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.artifacts.manifest import MANIFEST, provenance_now, write_manifest
from gi_edge.artifacts.split_file import SPLIT_FILE
from gi_edge.config import json_from_value
from gi_edge.data.pixels import DecodedFrames
from gi_edge.data.split import csv_from_split
from gi_edge.errors import GateError
from gi_edge.files import atomic_folder, sha256_file
from gi_edge.metrics.parity import Parity, Precision, parity_from_logits, verdict_from_parity
from gi_edge.modeling.backbone import backbone_of
from gi_edge.modeling.lora import load_adapter
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Progress
from gi_edge_export.config import ExportJob, InputForm, OnnxForm, opset_of
from gi_edge_export.deploy import deployed_from_model, untyped_from_model
from gi_edge_export.graph_types import check_graph_precision
from gi_edge_export.headroom import check_headroom, headroom_from_pixels
from gi_edge_export.merge import merged_from_adapter
from gi_edge_export.onnx import write_onnx
from gi_edge_export.verify import check_model

_PACKAGES = ("torch", "timm", "peft", "onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime", "numpy", "pillow")


@dataclass(frozen=True)
class _Subject:
    """A trained model, merged, with its held-out frames and what it answered on them before the merge."""

    adapter: Adapter
    merged: nn.Module
    held_out: DecodedFrames
    logits: NDArray[np.float32]


def run(job: ExportJob, progress: Progress) -> Bundle:
    """Export one bundle whose every model passed its gate, or write none.

    Raises: GateError if a model does not answer as the trained one; GiEdgeError of the fitting kind otherwise.
    """
    adapter = read_adapter(job.adapter)
    with atomic_folder(job.output, force=job.force) as folder:
        subject, merge = _subject(job, adapter, progress)
        headroom = _headroom(subject, progress) if "fp16" in job.precisions else None
        models = tuple(
            _write_model(folder, (precision, job.input), subject, progress)
            for precision in dict.fromkeys(("fp32", *job.precisions))
        )
        _write_bundle(folder, job, subject, (merge, headroom), models)
    return read_bundle(job.output)


def _subject(job: ExportJob, adapter: Adapter, progress: Progress) -> tuple[_Subject, Parity]:
    manifest = adapter.manifest
    held_out = held_out_frames(manifest, job.data, adapter.split.ids("test"), progress)
    backbone = backbone_of(manifest.backbone, job.weights, num_classes=len(manifest.classes), progress=progress)
    trained = load_adapter(backbone.model, adapter.path)
    logits = logits_of(PixelClassifier(trained, manifest.preprocess), held_out.pixels)
    merged = merged_from_adapter(trained)
    parity = parity_from_logits(logits, logits_of(PixelClassifier(merged, manifest.preprocess), held_out.pixels))
    verdict = verdict_from_parity("fp32", parity, "PyTorch")
    if verdict.status == "fail":
        raise GateError(
            f"merging changed the model: {'; '.join(verdict.reasons)}; no bundle was written",
            fix="train the adapter again, with a smaller --learning-rate if its weights have grown large",
        )
    progress.say(f"merged: logits within {parity.max_abs_error:.1e} of the unmerged model, n = {parity.n}")
    return _Subject(adapter, merged, held_out, logits), parity


def _headroom(subject: _Subject, progress: Progress) -> Headroom:
    network = untyped_from_model(subject.merged, subject.adapter.manifest.preprocess, "uint8", centred=True)
    headroom = headroom_from_pixels(network, subject.held_out.pixels)
    progress.say(headroom.line())
    check_headroom(headroom)
    return headroom


def _write_model(folder: Path, kind: tuple[Precision, InputForm], subject: _Subject, progress: Progress) -> ModelEntry:
    precision, input_form = kind
    manifest = subject.adapter.manifest
    spec = manifest.preprocess
    network = deployed_from_model(subject.merged, spec, precision, input_form)
    classifier = network if input_form == "uint8" else PixelClassifier(network, spec).eval()
    path = folder / f"model.{precision}.onnx"
    properties = {
        "gi_edge.name": manifest.name,
        "gi_edge.precision": precision,
        "gi_edge.classes": json.dumps(manifest.classes),
        "gi_edge.preprocess": json.dumps(spec.model_dump(mode="json")),
        "gi_edge.backbone_licence": manifest.backbone.licence,
        "gi_edge.dataset_licence": manifest.dataset.licence,
        "gi_edge.backbone_sha256": manifest.backbone.weights_sha256,
        "gi_edge.adapter_sha256": sha256_file(subject.adapter.path / MANIFEST),
    }
    form = OnnxForm(input=input_form, opset=opset_of(precision))
    progress.say(f"{precision}: exporting and checking")
    check_graph_precision(write_onnx(path, network, spec, properties, form), precision)
    checked = check_model(precision, path, classifier, subject.held_out.pixels, subject.logits)
    parity = checked.verdict.parity
    progress.say(
        f"{precision}: pass; {parity.flips} of {parity.n} frames changed class (95 % bound "
        f"{parity.flip_rate_upper95:.1%}), logits within {parity.max_abs_error:.1e}; {checked.verdict.computed_by}"
    )
    return ModelEntry(
        precision=precision,
        path=path.name,
        opset=form.opset,
        input=input_form,
        verdict=checked.verdict,
        file_parity=checked.file_parity,
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
        sha256=tuple(sha256_file(frame.path) for frame in frames),
        labels=np.array([frame.label for frame in frames], dtype=np.int64),
        logits=subject.logits,
    )
    write_reference(folder / REFERENCE_FILE, reference)
    (folder / SPLIT_FILE).write_text(csv_from_split(subject.adapter.split), encoding="utf-8")
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in trained.classes), encoding="utf-8")
    (folder / PREPROCESS_FILE).write_text(json_from_value(trained.preprocess), encoding="utf-8")
    manifest = BundleManifest(
        name=job.name,
        backbone=trained.backbone,
        dataset=trained.dataset,
        split=trained.split,
        classes=trained.classes,
        preprocess=trained.preprocess,
        config={"precisions": [entry.precision for entry in models], "input": job.input},
        provenance=provenance_now(_PACKAGES),
        adapter_sha256=sha256_file(subject.adapter.path / MANIFEST),
        majority_label=trained.test.majority_label,
        merge=merge,
        models=models,
        headroom=headroom,
    )
    write_manifest(folder, manifest)
