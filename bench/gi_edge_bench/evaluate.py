"""What a bundle answers on labelled frames, without torch."""

from __future__ import annotations

from gi_edge.artifacts.bundle import Bundle
from gi_edge.artifacts.evaluation import Predictions
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import Precision
from gi_edge.progress import Progress
from gi_edge.runtime.backends import open_model
from gi_edge.runtime.session import Backend
from gi_edge_bench.config import BenchTarget
from gi_edge_bench.frames import held_out_of
from gi_edge_bench.parity import answers_of


def predictions_of_bundle(
    bundle: Bundle, precision: Precision, target: BenchTarget, backend: Backend, progress: Progress
) -> Predictions:
    """Answer the held-out frames that a target names, each proven to be the file that the reference was made from.

    Raises: DataError if a frame is absent, altered or unreadable; RuntimeUnavailableError if the backend cannot serve.
    """
    held_out = held_out_of(target, bundle, progress)
    model = open_model(bundle, precision, backend)
    logits = answers_of(model, held_out.frames.pixels, len(bundle.manifest.classes))
    session = model.session
    widened = ", which computes fp16 graphs in fp32" if precision == "fp16" and session.widens_half else ""
    packed = f", on {len(logits)} frames packed in the bundle" if held_out.source == "samples" else ""
    runtime = f"{session.runtime}, {session.provider}{widened}{packed}"
    return Predictions(
        held_out.frames.frames, softmax(logits, bundle.manifest.temperature), "bundle", precision, runtime
    )
