"""Graphs in memory, run on pixels in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from gi_edge.data.preprocess import PreprocessSpec, images_from_pixels
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT

BATCH_SIZE = 8
Feed = dict[str, NDArray[np.uint8] | NDArray[np.float32]]


def open_graph(graph: onnx.ModelProto) -> ort.InferenceSession:
    """Load a graph on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def batches(
    session: ort.InferenceSession, pixels: NDArray[np.uint8], spec: PreprocessSpec, size: int = BATCH_SIZE
) -> Iterator[Feed]:
    """Yield pixels [n, size, size, 3] in batches, scaled if the graph takes scaled images."""
    scaled = session.get_inputs()[0].name == FLOAT_INPUT
    for start in range(0, len(pixels), size):
        part = pixels[start : start + size]
        yield {FLOAT_INPUT: images_from_pixels(part, spec)} if scaled else {PIXEL_INPUT: part}


def logits_of_graph(graph: onnx.ModelProto, pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Return float32 logits [n, classes] of pixels [n, size, size, 3]."""
    session = open_graph(graph)
    return np.concatenate([session.run(["logits"], feed)[0] for feed in batches(session, pixels, spec)])
