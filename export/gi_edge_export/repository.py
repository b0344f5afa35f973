"""The Triton repository of a bundle's ONNX models."""

from __future__ import annotations

from pathlib import Path

import onnx

from gi_edge.artifacts.bundle import LABELS_FILE, ModelEntry
from gi_edge.runtime.session import NOT_IN_ONNX_RUNTIME
from gi_edge_export.engine.config import EngineSettings
from gi_edge_export.graph import tensors_of
from gi_edge_export.triton import TritonModel, write_triton_model


def write_onnx_repository(folder: Path, name: str, models: tuple[ModelEntry, ...]) -> None:
    """Write model_repository/NAME-PRECISION-onnx for every model of a bundle folder that ONNX Runtime can serve.

    One that it cannot load would keep the whole server from starting.
    """
    for model in models:
        if model.precision in NOT_IN_ONNX_RUNTIME:
            continue
        inputs, outputs = tensors_of(onnx.load(folder / model.path, load_external_data=False))
        # The model first, then its external data, if it has any, under the name that the model refers to.
        files = tuple(sorted(folder.glob(f"{model.path}*"), key=lambda path: len(path.name)))
        entry = TritonModel(
            name=f"{name}-{model.precision}-onnx",
            backend="onnxruntime",
            inputs=inputs,
            outputs=outputs,
            batch=EngineSettings().batch,
        )
        write_triton_model(folder / "model_repository", entry, files, folder / LABELS_FILE)
