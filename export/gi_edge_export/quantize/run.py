"""INT8 models of an fp32 model file: calibrated on training frames, chosen on validation frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from gi_edge.artifacts.quantisation import Dialect, Quantisation
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.progress import Progress
from gi_edge_export.config import Int8Settings
from gi_edge_export.graph import properties_of
from gi_edge_export.quantize.frames import CalibrationFrames
from gi_edge_export.quantize.graph import activations_of
from gi_edge_export.quantize.ranges import seen_from_pixels
from gi_edge_export.quantize.search import Choice, Reference, choose
from gi_edge_export.quantize.sessions import logits_of_graph

_LARGEST_BYTES = 2**31 - 2**24


@dataclass(frozen=True)
class Int8Model:
    """One INT8 file beside the fp32 one, and how it was made."""

    path: Path
    graph: onnx.ModelProto
    quantisation: Quantisation


def int8_models(
    fp32: Path, frames: CalibrationFrames, spec: PreprocessSpec, settings: Int8Settings, progress: Progress
) -> Iterator[Int8Model]:
    """Write an INT8 model for every dialect beside model.fp32.onnx; calibration runs once for all.

    Raises: GateError if too little can be int8, or the model is larger than one protobuf holds.
    """
    graph = onnx.load(fp32)
    if graph.ByteSize() > _LARGEST_BYTES:
        raise GateError(f"{fp32.name} is above 2 GiB, too large to quantise", fix="export without --int8")
    properties = properties_of(graph)
    reference = Reference(
        graph=graph,
        spec=spec,
        pixels=frames.validation,
        logits=logits_of_graph(graph, frames.validation, spec),
        temperature=float(properties["gi_edge.temperature"]),
        seen=seen_from_pixels(graph, activations_of(graph), frames.training, spec, progress),
    )
    for dialect in dict.fromkeys(settings.dialects):
        choice = choose(reference, dialect, settings.method, progress)
        onnx.helper.set_model_props(choice.graph, {**properties, "gi_edge.precision": "int8"})
        path = fp32.with_name("model.int8.onnx" if dialect == "onnxruntime" else f"model.int8-{dialect}.onnx")
        onnx.checker.check_model(choice.graph, full_check=True)
        onnx.save(choice.graph, path)
        quantisation = _record(choice, dialect, frames)
        progress.say(quantisation.line())
        yield Int8Model(path, choice.graph, quantisation)


def _record(choice: Choice, dialect: Dialect, frames: CalibrationFrames) -> Quantisation:
    return Quantisation(
        dialect=dialect,
        method=choice.method,
        calibration_frames=len(frames.training),
        calibration_sha256=frames.sha256,
        validation_frames=len(frames.validation),
        tried=choice.tried,
        divergence=choice.damage.divergence,
        flips=choice.damage.flips,
        matrices=choice.matrices,
        kept=choice.kept,
    )
