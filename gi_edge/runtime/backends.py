"""Open a model of a bundle on the runtime that was asked for."""

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
    """A model that is ready to answer, and where it came from."""

    session: Session
    file: Path
    entry: ModelEntry
    engine: Engine | None
    """None in ONNX Runtime."""


def open_model(bundle: Bundle, precision: Precision, backend: Backend) -> OpenModel:
    """Load the model of a precision. Raises: ArtifactError, RuntimeUnavailableError."""
    if backend.runtime != "onnxruntime":
        raise RuntimeUnavailableError(
            f"{backend.runtime} engines cannot be opened by this gi-edge", fix="--runtime onnxruntime"
        )
    entry = bundle.model(precision)
    file = bundle.path / entry.path
    return OpenModel(open_session(file, backend.provider, backend.threads), file, entry, None)
