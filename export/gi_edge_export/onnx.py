"""From a PyTorch classifier to a checked ONNX file."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import ModelError
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT
from gi_edge_export.config import OnnxForm
from gi_edge_export.graph_types import widen_sums


class _WithProbabilities(nn.Module):
    def __init__(self, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = cast(Tensor, self.classifier(x))
        scaled = logits if self.temperature == 1.0 else logits / self.temperature
        return logits, scaled.softmax(dim=-1)


def write_onnx(
    path: Path,
    classifier: nn.Module,
    spec: PreprocessSpec,
    properties: dict[str, str],
    form: OnnxForm | None = None,
) -> onnx.ModelProto:
    """Export with a dynamic batch, check the graph in full, write it and return it.

    The classifier answers with fp32 logits; the file with "logits" and "probabilities", their softmax at form's
    temperature. properties go into the model's metadata. What the exporter notes of this machine (source paths,
    stack traces) is taken out, so that equal weights give equal bytes everywhere. Weights above form's limit go into
    a second file, the path with .data added.

    Raises: ModelError if an operator, or the operator set, is not supported.
    """
    form = form or OnnxForm()
    model = _exported(_WithProbabilities(classifier, form.temperature).eval(), spec, form)
    _strip(model)
    widen_sums(model)
    onnx.helper.set_model_props(model, properties)
    weights = sum(len(item.raw_data) for item in model.graph.initializer)
    if weights <= form.external_above_bytes:
        with _told("onnx refuses the graph"):
            onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return model
    stored = onnx.ModelProto()
    stored.CopyFrom(model)  # saving moves the weights out of the model that is saved
    onnx.save(stored, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)
    with _told("onnx refuses the graph"):
        onnx.checker.check_model(str(path), full_check=True)
    return model


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the errors of exporter and checker into one line with the innermost cause, which names the operator."""
    try:
        yield
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        told = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise ModelError(
            f"{what}: {told}",
            fix="export an adapter of another backbone, such as a ConvNeXt-V2; or update torch and onnx and try again",
        ) from error


def _exported(network: nn.Module, spec: PreprocessSpec, form: OnnxForm) -> onnx.ModelProto:
    side = spec.size_px
    pixels = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    example, name = (pixels, PIXEL_INPUT) if form.input == "uint8" else (torch.zeros(2, 3, side, side), FLOAT_INPUT)
    with _told("the network cannot be written as ONNX"), _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=form.opset,
            input_names=[name],
            output_names=["logits", "probabilities"],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    found = next(item.version for item in model.opset_import if item.domain == "")
    if found != form.opset:
        raise ModelError(
            f"torch {torch.__version__} wrote the graph in ONNX opset {found}, not in {form.opset}",
            fix="update torch, onnx and onnxscript: pip install --upgrade 'gi-edge[export]'",
        )
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's own deprecations and prints; its result is checked by the caller."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _strip(model: onnx.ModelProto) -> None:
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
