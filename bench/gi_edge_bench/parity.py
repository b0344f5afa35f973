"""The parity pass: the engine's answers on the held-out frames, and beside those of another backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, model_sha256
from gi_edge.artifacts.results import Comparison, ParityPass
from gi_edge.errors import ArtifactError, RuntimeUnavailableError
from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.alike import unlike_reasons
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.gate import Answers, Origin, verdict_from_answers
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.backends import OpenModel, open_model
from gi_edge.runtime.batches import logits_from_session
from gi_edge.runtime.session import NOT_IN_ONNX_RUNTIME, Backend
from gi_edge_bench.flipped import flipped_from_answers
from gi_edge_bench.frames import HeldOut, Material


@dataclass(frozen=True)
class Compared:
    """What a model was found to answer."""

    parity: ParityPass | None
    """None without labelled frames."""
    comparisons: tuple[Comparison, ...]


def compare_answers(
    bundle: Bundle, model: OpenModel, material: Material, against: tuple[Backend, ...], *, pictures: bool
) -> Compared:
    """Run every frame of the material through a model; hold the answers against the reference and other backends.

    Raises: ArtifactError if the model answers in another shape; RuntimeUnavailableError if a backend to compare with
    cannot serve.
    """
    if material.source is None:
        return Compared(None, ())
    logits = answers_of(model, material.pixels, len(bundle.manifest.classes))
    temperature, precision = bundle.manifest.temperature, model.entry.precision
    comparisons = []
    if material.probes is not None:
        reference = material.probes.logits
        found = _comparison("reference on probe images", material, (reference, logits), precision, bundle)
        comparisons.append(found.model_copy(update={"computes_precision": _computes_precision(model)}))
    for backend in against:
        words, theirs, computes = _answers_of_backend(bundle, precision, backend, material.pixels)
        found = _comparison(words, material, (theirs, logits), precision, bundle)
        both = computes and _computes_precision(model)
        comparisons.append(found.model_copy(update={"computes_precision": both}))
    parity = None
    if material.held_out is not None:
        parity = parity_pass(model, bundle, material.held_out, logits)
        classes = bundle.manifest.classes
        flipped = flipped_from_answers(material.held_out, logits, temperature, classes, pictures=pictures)
        parity = parity.model_copy(update={"flipped": flipped})
    return Compared(parity, tuple(comparisons))


def answers_of(model: OpenModel, pixels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Return logits [n, classes] of a model. Raises: ArtifactError if it gives another shape."""
    largest = model.engine.entry.batch.maximum if model.engine else len(pixels)
    logits = logits_from_session(model.session, pixels, largest)
    if logits.shape != (len(pixels), classes):
        raise ArtifactError(
            f"{model.file} answers in the shape {list(logits.shape)}, and {[len(pixels), classes]} is what the bundle "
            "promises",
            fix="export it again: gi-edge export",
        )
    return logits


def parity_pass(model: OpenModel, bundle: Bundle, held_out: HeldOut, logits: NDArray[np.float32]) -> ParityPass:
    """Hold a model's logits [n, classes] on held-out frames against reference and truth."""
    reference = held_out.reference
    manifest, session, precision = bundle.manifest, model.session, model.entry.precision
    classes = manifest.classes
    majority = classes.index(manifest.majority_label)

    def scores(answers: NDArray[np.float32]) -> Classification:
        return classification_from_labels(reference.labels, answers.argmax(axis=1), classes, majority)

    origin = Origin(
        file_sha256=model_sha256(model.file),
        computed_by=f"{session.runtime}, {session.provider}",
        computes_precision=_computes_precision(model),
    )
    answers = Answers(reference.labels, reference.logits, logits, classes, held_out.groups, manifest.temperature)
    return ParityPass(
        verdict=verdict_from_answers(precision, answers, origin),
        frames="samples" if held_out.source == "samples" else "dataset",
        engine=scores(logits),
        reference=scores(reference.logits),
    )


def _computes_precision(model: OpenModel) -> bool:
    return model.entry.precision not in ("fp16", "bf16") or not model.session.widens_half


def _answers_of_backend(
    bundle: Bundle, precision: Precision, backend: Backend, pixels: NDArray[np.uint8]
) -> tuple[str, NDArray[np.float32], bool]:
    """Return a backend in words, its logits, and whether it computes in their precision: fp32, where it lacks one."""
    lacking = backend.runtime == "onnxruntime" and precision in NOT_IN_ONNX_RUNTIME
    taken: Precision = "fp32" if lacking else precision
    try:
        model = open_model(bundle, taken, backend)
    except RuntimeUnavailableError as error:
        raise RuntimeUnavailableError(
            f"nothing to compare {precision} with: {error.message}", fix=f"{error.fix}; or another --against"
        ) from error
    words = f"{model.session.runtime}, {model.session.provider}, {taken}"
    return words, answers_of(model, pixels, len(bundle.manifest.classes)), _computes_precision(model)


def _comparison(
    words: str,
    material: Material,
    logits: tuple[NDArray[np.float32], NDArray[np.float32]],
    precision: Precision,
    bundle: Bundle,
) -> Comparison:
    source = material.source
    assert source is not None  # checked by the caller: without frames nothing is compared
    temperature = bundle.manifest.temperature
    reasons = unlike_reasons(precision, *logits, temperature, named=words)
    return Comparison(
        against=words,
        frames=source,
        parity=parity_from_logits(*logits, temperature),
        is_alike=not reasons,
        reasons=reasons,
    )
