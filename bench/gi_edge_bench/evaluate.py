"""What a bundle answers on the test part of its dataset, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.evaluation import Predictions
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import Precision
from gi_edge.progress import Progress
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Provider
from gi_edge_bench.parity import logits_of_session, reference_frames


def predictions_of_bundle(
    bundle: Bundle, precision: Precision, data: Path, provider: Literal["auto"] | Provider, progress: Progress
) -> Predictions:
    """Answer every held-out frame, proven to be the file that the bundle's reference was made from.

    Raises: DataError if a frame is absent, altered or unreadable; RuntimeUnavailableError if the provider cannot serve.
    """
    entry = bundle.model(precision)
    frames = reference_frames(bundle, bundle.reference(), data, progress)
    session = open_session(bundle.path / entry.path, provider)
    logits = logits_of_session(session, frames.pixels)
    widened = ", which computes fp16 graphs in fp32" if precision == "fp16" and session.widens_half else ""
    runtime = f"{session.runtime}, {session.provider}{widened}"
    return Predictions(frames.frames, softmax(logits, bundle.manifest.temperature), "bundle", precision, runtime)
