"""The parity pass: the engine's answers on the held-out frames, from the raw files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, ModelEntry, Reference
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.artifacts.results import ParityPass
from gi_edge.data.pixels import DecodedFrames
from gi_edge.errors import DataError
from gi_edge.files import sha256_file
from gi_edge.metrics.classification import Classification, classification_from_labels
from gi_edge.metrics.parity import parity_from_logits, verdict_from_parity
from gi_edge.progress import Progress
from gi_edge.runtime.session import Session

_BATCH_SIZE = 8


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


def parity_pass(
    session: Session, bundle: Bundle, model: ModelEntry, frames: DecodedFrames, reference: Reference
) -> ParityPass:
    """Run every held-out frame through a session and hold the answers against reference and truth."""
    logits = logits_of_session(session, frames.pixels)
    classes = bundle.manifest.classes
    majority = classes.index(bundle.manifest.majority_label)

    def scores(answers: NDArray[np.float32]) -> Classification:
        return classification_from_labels(reference.labels, answers.argmax(axis=1), classes, majority)

    parity = parity_from_logits(reference.logits, logits, bundle.manifest.temperature)
    return ParityPass(
        verdict=verdict_from_parity(model.precision, parity, f"{session.runtime}, {session.provider}"),
        proves_precision=model.precision == "fp32" or not session.widens_half,
        engine=scores(logits),
        reference=scores(reference.logits),
    )


def logits_of_session(session: Session, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run pixels [n, size, size, 3] through a session, a batch at a time; returns logits [n, classes]."""
    starts = range(0, len(pixels), _BATCH_SIZE)
    return np.concatenate([session.run(np.asarray(pixels[start : start + _BATCH_SIZE])) for start in starts])
