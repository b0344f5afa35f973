"""From a bundle to a loaded model, whichever runtime executes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gi_edge.artifacts.bundle import Bundle, ModelEntry
from gi_edge.artifacts.engine import Engine
from gi_edge.errors import RuntimeUnavailableError
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Backend, Session


@dataclass(frozen=True)
class OpenModel:
    """A loaded model and the file that it was loaded from."""

    session: Session
    file: Path
    entry: ModelEntry
    engine: Engine | None


def open_model(bundle: Bundle, precision: Precision, backend: Backend) -> OpenModel:
    """Load a model of a bundle. Raises: GiEdgeError if the bundle lacks it, or the backend cannot serve."""
    if backend.runtime != "onnxruntime":
        raise RuntimeUnavailableError(f"{backend.runtime} cannot run engines yet", fix="--runtime onnxruntime")
    entry = bundle.model(precision)
    file = bundle.path / entry.path
    return OpenModel(open_session(file, backend.provider, backend.threads), file, entry, None)
