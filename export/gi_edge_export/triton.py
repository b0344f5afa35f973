"""A model repository for NVIDIA Triton: config.pbtxt, labels and a version folder per model.

Files are hard links to those of the bundle where the disk allows it, so a repository costs no space and is still made
of plain files; elsewhere, and once the folder is copied, they are copies.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gi_edge.artifacts.engine import BatchRange

QUEUE_DELAY_US = 1000
"""How long Triton may hold a request back for a fuller batch, in microseconds."""

Backend = Literal["onnxruntime", "tensorrt"]
_FILE_NAMES: dict[Backend, str] = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}


@dataclass(frozen=True)
class Tensor:
    """An input or output, without its batch dimension."""

    name: str
    type: str
    """Triton's word, such as "TYPE_UINT8"."""
    dims: tuple[int, ...]


@dataclass(frozen=True)
class TritonModel:
    """One entry of a repository."""

    name: str
    backend: Backend
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: BatchRange


def write_triton_model(repository: Path, model: TritonModel, files: tuple[Path, ...], labels: Path) -> Path:
    """Write repository/NAME/{config.pbtxt,labels.txt,1/…} and return its folder.

    files: the model first, then what it refers to by name, such as external data.
    """
    folder = repository / model.name
    version = folder / "1"
    version.mkdir(parents=True)
    for index, file in enumerate(files):
        _place(file, version / (file.name if index else _FILE_NAMES[model.backend]))
    _place(labels, folder / "labels.txt")
    (folder / "config.pbtxt").write_text(config_text(model), encoding="utf-8")
    return folder


def config_text(model: TritonModel) -> str:
    """Return config.pbtxt, in the text form of Triton's ModelConfig message.

    The labels belong to every output, so that Triton's classification extension names classes.
    """
    kind = "KIND_GPU" if model.backend == "tensorrt" else "KIND_AUTO"
    lines = [
        f"name: {_quoted(model.name)}",
        f'backend: "{model.backend}"',
        f'default_model_filename: "{_FILE_NAMES[model.backend]}"',
        f"max_batch_size: {model.batch.maximum}",
        *(_tensor_text("input", tensor, "") for tensor in model.inputs),
        *(_tensor_text("output", tensor, ' label_filename: "labels.txt"') for tensor in model.outputs),
        f"dynamic_batching {{ preferred_batch_size: {model.batch.optimum} max_queue_delay_microseconds: "
        f"{QUEUE_DELAY_US} }}",
        f"instance_group {{ count: 1 kind: {kind} }}",
    ]
    return "\n".join(lines) + "\n"


def _tensor_text(field: str, tensor: Tensor, extra: str) -> str:
    dims = ", ".join(map(str, tensor.dims))
    return f"{field} {{ name: {_quoted(tensor.name)} data_type: {tensor.type} dims: [{dims}]{extra} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
