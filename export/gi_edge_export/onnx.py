"""From a PyTorch classifier to a checked ONNX file."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import onnx
import torch

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.modeling.pixels import PixelClassifier
from gi_edge_export.config import OPSET


def write_onnx(
    path: Path, classifier: PixelClassifier, spec: PreprocessSpec, properties: dict[str, str]
) -> onnx.ModelProto:
    """Export with a dynamic batch, check the graph in full, write it and return it.

    properties go into the model's metadata. What the exporter notes of this machine (source paths, stack traces)
    is taken out, so that equal weights give equal bytes everywhere.
    """
    example = torch.zeros(2, spec.size_px, spec.size_px, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own deprecations; the result is checked below
        program = torch.onnx.export(
            classifier,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["logits"],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return model


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
