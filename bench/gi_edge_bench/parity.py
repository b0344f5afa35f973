"""The parity pass: the engine's answers on the held-out frames, from the raw files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, ModelEntry, Reference
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.artifacts.results import ParityPass
from gi_edge.data.index import Frame
from gi_edge.data.pixels import DecodedFrames, decode_frames
from gi_edge.errors import ArtifactError, DataError
from gi_edge.files import sha256_file
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.gate import Answers, Origin, verdict_from_answers
from gi_edge.progress import Progress
from gi_edge.runtime.session import Session

_BATCH_SIZE = 8


@dataclass(frozen=True)
class HeldOut:
    """Decoded frames, what the trained model answered on them, and how they belong together."""

    frames: DecodedFrames
    reference: Reference
    """Row i is of frame i."""
    groups: tuple[str, ...] | None
    """[n] video, patient or cluster; None where one is not known."""
    source: Literal["dataset", "samples"]


def dataset_frames(bundle: Bundle, data: Path, progress: Progress) -> HeldOut:
    """Decode the whole test part from the dataset's folder. Raises: DataError as reference_frames does."""
    reference = bundle.reference()
    frames = reference_frames(bundle, reference, data, progress)
    return HeldOut(frames, reference, bundle.split().groups_of(reference.ids), "dataset")


def packed_frames(bundle: Bundle, progress: Progress) -> HeldOut:
    """Decode the test frames that travel with the bundle.

    Raises: ArtifactError if it has none, or one is not the file that the reference was made from.
    """
    samples = bundle.manifest.samples
    remake = f"gi-edge export --adapter {bundle.manifest.name} --samples N --force"
    if not samples:
        raise ArtifactError(f"{bundle.path} has no packed frames", fix=f"--data DIR, or {remake}")
    whole = bundle.reference()
    row_of = {frame: row for row, frame in enumerate(whole.ids)}
    unknown = next((entry.frame for entry in samples if entry.frame not in row_of), None)
    if unknown is not None:
        raise ArtifactError(f"{bundle.path}: the reference has no frame '{unknown}'", fix=remake)
    rows = [row_of[entry.frame] for entry in samples]
    reference = Reference(
        ids=tuple(whole.ids[row] for row in rows),
        sha256=tuple(whole.sha256[row] for row in rows),
        labels=whole.labels[rows],
        logits=whole.logits[rows],
    )
    frames = [
        Frame(entry.frame, bundle.path / entry.path, int(whole.labels[row]), group=None)
        for entry, row in zip(samples, rows, strict=True)
    ]
    altered = next((f for f, row in zip(frames, rows, strict=True) if sha256_file(f.path) != whole.sha256[row]), None)
    if altered is not None:
        raise ArtifactError(f"{altered.path} is not the frame '{altered.id}' of the reference", fix=remake)
    decoded = decode_frames(frames, bundle.manifest.preprocess, progress, f"decode {len(frames)} packed frames")
    if decoded.unreadable:
        raise ArtifactError(f"{decoded.unreadable[0].frame.path}: {decoded.unreadable[0].reason}", fix=remake)
    return HeldOut(decoded, reference, bundle.split().groups_of(reference.ids), "samples")


def reference_frames(bundle: Bundle, reference: Reference, data: Path, progress: Progress) -> DecodedFrames:
    """Decode the frames that the reference was made from, proven by their sha256.

    Raises: DataError if one is absent, altered or unreadable.
    """
    decoded = held_out_frames(bundle.manifest, data, reference.ids, progress)
    for frame, expected in zip(decoded.frames, reference.sha256, strict=True):
        if sha256_file(frame.path) != expected:
            raise DataError(
                f"{frame.path} is not the file that the reference was made from (its sha256 differs)",
                fix="give the original frames: --data DIR, or export the adapter again on these",
            )
    return decoded


def parity_pass(session: Session, bundle: Bundle, model: ModelEntry, held_out: HeldOut) -> ParityPass:
    """Run every held-out frame through a session and hold the answers against reference and truth."""
    reference = held_out.reference
    logits = logits_of_session(session, held_out.frames.pixels)
    classes = bundle.manifest.classes
    majority = classes.index(bundle.manifest.majority_label)

    def scores(answers: NDArray[np.float32]) -> Classification:
        return classification_from_labels(reference.labels, answers.argmax(axis=1), classes, majority)

    origin = Origin(
        file_sha256=sha256_file(bundle.path / model.path),
        computed_by=f"{session.runtime}, {session.provider}",
        computes_precision=model.precision not in ("fp16", "bf16") or not session.widens_half,
    )
    answers = Answers(reference.labels, reference.logits, logits, classes, held_out.groups, bundle.manifest.temperature)
    return ParityPass(
        verdict=verdict_from_answers(model.precision, answers, origin),
        frames=held_out.source,
        engine=scores(logits),
        reference=scores(reference.logits),
    )


def logits_of_session(session: Session, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run pixels [n, size, size, 3] through a session, a batch at a time; returns logits [n, classes]."""
    starts = range(0, len(pixels), _BATCH_SIZE)
    return np.concatenate([session.run(np.asarray(pixels[start : start + _BATCH_SIZE])) for start in starts])
