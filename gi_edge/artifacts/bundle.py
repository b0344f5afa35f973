"""Bundle: what a device needs to answer, and to prove that it answers as the trained model did."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from gi_edge.artifacts.headroom import Headroom
from gi_edge.artifacts.manifest import Manifest, read_manifest
from gi_edge.artifacts.quantisation import Dialect, Quantisation
from gi_edge.artifacts.remake import export_again
from gi_edge.artifacts.split_file import read_split_of
from gi_edge.config import Value
from gi_edge.data.split import Split
from gi_edge.errors import ArtifactError
from gi_edge.files import sha256_file
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.metrics.verdict import Verdict, drawn_from

LABELS_FILE = "labels.txt"
PREPROCESS_FILE = "preprocess.json"
REFERENCE_FILE = "reference.npz"
SAMPLES_FOLDER = "samples"
_REFERENCE_ARRAYS = ("frame", "sha256", "label", "logits")


class ModelEntry(Value):
    """One model file: frames in; float32 logits and probabilities, both [N, classes], out."""

    precision: Precision
    path: str
    opset: int
    input: Literal["uint8", "float"] = "uint8"
    """uint8: pixels [N, size, size, 3] RGB. float: float32 images [N, 3, size, size], scaled by the PreprocessSpec."""
    verdict: Verdict
    file_parity: Parity
    """This file in ONNX Runtime on the CPU, half widened to fp32, against the reference: was it translated rightly?"""
    quantisation: Quantisation | None = None
    """Of an int8 model."""


class SampleEntry(Value):
    """One packed test frame: the original file."""

    frame: str
    """Id of the frame in the split and the reference."""
    path: str


class BundleManifest(Manifest):
    """What a bundle holds and which verdicts it carries."""

    kind: Literal["bundle"] = "bundle"
    adapter_sha256: str
    """sha256 of the adapter's manifest.json."""
    majority_label: str
    """Most frequent class of the training part."""
    merge: Parity
    """Merged against unmerged logits of the PyTorch model, fp32, on the held-out frames."""
    models: tuple[ModelEntry, ...]
    samples: tuple[SampleEntry, ...] = ()
    """Test frames that travel with the bundle, under the licence of the dataset."""
    headroom: Headroom | None = None
    """What fp16 has to hold, block by block, where the bundle has an fp16 model."""

    @model_validator(mode="after")
    def _verdicts_are_those_of_their_checks(self) -> BundleManifest:
        for model in self.models:
            status, reasons = drawn_from(model.verdict.checks)
            if (model.verdict.status, model.verdict.reasons) != (status, reasons):
                raise ValueError(f"the verdict on {model.path} says {model.verdict.status}, its checks say {status}")
        return self


@dataclass(frozen=True)
class Reference:
    """The trained model's answers on the test part: PyTorch, fp32, adapter not merged, on the CPU."""

    ids: tuple[str, ...]
    sha256: tuple[str, ...]
    """Of each image file, so that a device knows it compares the same frames."""
    labels: NDArray[np.int64]
    """[n] true class indices."""
    logits: NDArray[np.float32]
    """[n, classes]."""


@dataclass(frozen=True)
class Bundle:
    """A checked bundle folder."""

    path: Path
    manifest: BundleManifest

    def models(self, runtime: Dialect) -> tuple[ModelEntry, ...]:
        """Return one model of each precision, for a runtime."""
        return models_for(self.manifest.models, runtime)

    def model(self, precision: Precision, runtime: Dialect = "onnxruntime") -> ModelEntry:
        """Return the model of a precision for a runtime.

        Raises: ArtifactError if the bundle has none of that precision, or int8 only for the other runtime.
        """
        models = {entry.precision: entry for entry in self.models(runtime)}
        if precision not in models:
            dialect = ("--int8-target", "both") if (precision, runtime) == ("int8", "tensorrt") else ()
            raise ArtifactError(
                f"{self.path} has no {precision} model{' for TensorRT' if dialect else ''}, only {', '.join(models)}",
                fix=export_again(self.path, f"--{precision}", *dialect),
            )
        return models[precision]

    def split(self) -> Split:
        """Read split.csv."""
        return read_split_of(self.path, self.manifest, export_again(self.path))

    def reference(self) -> Reference:
        """Read reference.npz."""
        return read_reference(self.path / REFERENCE_FILE)


def models_for(models: Sequence[ModelEntry], runtime: Dialect) -> tuple[ModelEntry, ...]:
    """Return one model of each precision: TensorRT takes int8 in its own dialect only, ONNX Runtime in either."""
    found: dict[Precision, ModelEntry] = {}
    for entry in models:
        dialect = entry.quantisation.dialect if entry.quantisation else runtime
        if dialect == runtime or (runtime == "onnxruntime" and entry.precision not in found):
            found[entry.precision] = entry
    return tuple(found.values())


def model_sha256(path: Path) -> str:
    """Return the sha256 of a model file; with weights in a second file, PATH.data, that of both sums, one a line."""
    sums = [sha256_file(part) for part in (path, path.with_name(f"{path.name}.data")) if part.is_file()]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle. Raises: ArtifactError if it is not whole and unaltered."""
    remake = export_again(path)
    bundle = Bundle(path, read_manifest(path, BundleManifest, "bundle", remake))
    labels = path / LABELS_FILE
    if not labels.is_file() or tuple(labels.read_text(encoding="utf-8").splitlines()) != bundle.manifest.classes:
        raise ArtifactError(f"{path} was altered: its manifest has other classes than {LABELS_FILE}", fix=remake)
    return bundle


def write_reference(path: Path, reference: Reference) -> None:
    """Write reference.npz: no pickle, text as fixed-width unicode."""
    np.savez_compressed(
        path,
        frame=np.array(reference.ids, dtype=np.str_),
        sha256=np.array(reference.sha256, dtype=np.str_),
        label=reference.labels.astype(np.int64),
        logits=reference.logits.astype(np.float32),
    )


def read_reference(path: Path) -> Reference:
    """Read reference.npz. Raises: ArtifactError if it is absent or of another form."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            frame, sha256, label, logits = (arrays[name] for name in _REFERENCE_ARRAYS)
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{path} holds no reference logits: {error}", fix=export_again(path.parent)) from error
    return Reference(tuple(map(str, frame)), tuple(map(str, sha256)), label, logits)
