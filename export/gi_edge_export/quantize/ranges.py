"""The ranges of activations, from what they were on calibration frames, by three methods.

ONNX Runtime's own calibrators are not used: they keep every value of every frame in memory, 10 GB for ConvNeXt-V2 Tiny
on 200 frames at 224 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from gi_edge.artifacts.quantisation import Method
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.progress import Progress
from gi_edge_export.quantize.graph import Form, Range
from gi_edge_export.quantize.sessions import batches, open_graph

DRAWN = 4096
"""Values of a tensor that are kept of each frame, beside its extremes."""
PERCENTILE = 99.99
"""Share of the values, in per cent, that the percentile method does not clip, half of the rest at either end."""
_BINS = 2048
_FIRST_BIN = 128
_BIN_STEP = 16
_MOVES = ("Cast", "Reshape", "Transpose")


@dataclass(frozen=True)
class Seen:
    """What a tensor was on the calibration frames."""

    low: float
    high: float
    drawn: NDArray[np.float32]
    """[k] values at positions drawn once for all frames."""


def seen_from_pixels(
    graph: onnx.ModelProto, names: Sequence[str], pixels: NDArray[np.uint8], spec: PreprocessSpec, progress: Progress
) -> dict[str, Seen]:
    """Run pixels [n, size, size, 3] through an fp32 graph and return what the named tensors were."""
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    known = {item.name for item in watched.graph.output}
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in known
    )
    session, random = open_graph(watched), np.random.default_rng(0)
    lows, highs = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    drawn: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    places: dict[int, NDArray[np.int64]] = {}
    with progress.task("int8: calibrate", len(pixels)) as task:
        for feed in batches(session, pixels, spec, size=1):
            for name, values in zip(names, session.run(list(names), feed), strict=True):
                flat = values.reshape(-1)
                if flat.size not in places:
                    places[flat.size] = random.integers(0, flat.size, min(flat.size, DRAWN))
                lows[name], highs[name] = min(lows[name], flat.min()), max(highs[name], flat.max())
                drawn[name].append(flat[places[flat.size]])
            task.advance()
    return {name: Seen(float(lows[name]), float(highs[name]), np.concatenate(drawn[name])) for name in names}


def ranges_from_seen(graph: onnx.ModelProto, seen: Mapping[str, Seen], method: Method, form: Form) -> dict[str, Range]:
    """Return the range of every tensor by a method; pixels keep theirs, 0 to 255, in which uint8 holds them exactly."""
    pixels = _pixels(graph)
    return {name: (0.0, 255.0) if name in pixels else range_of(item, method, form) for name, item in seen.items()}


def range_of(seen: Seen, method: Method, form: Form) -> Range:
    """Return the range of one tensor.

    minmax: all that was seen. percentile: all but the rarest values. entropy: the threshold whose quantised
    distribution is nearest to the one seen by Kullback-Leibler divergence (Migacz 2017, GTC S7310).
    """
    if method == "minmax":
        return seen.low, seen.high
    if method == "percentile":
        rest = (100 - PERCENTILE) / 2
        low, high = np.percentile(seen.drawn, (rest, 100 - rest))
        return float(low), float(high)
    threshold = _threshold(seen, form)
    return max(seen.low, -threshold), min(seen.high, threshold)


def _threshold(seen: Seen, form: Form) -> float:
    largest = max(-seen.low, seen.high)
    counts, edges = np.histogram(np.abs(seen.drawn), bins=_BINS, range=(0.0, largest or 1.0))
    counts[0] = counts[1]  # zero needs no resolution, and its peak would outweigh every tail
    best, threshold = np.inf, largest
    for stop in range(_FIRST_BIN, _BINS + 1, _BIN_STEP):
        edge = float(edges[stop])
        span = 2 * edge if form.signed else max(min(seen.high, edge) + min(-seen.low, edge), edge)
        levels = round((254 if form.signed else 255) * edge / span)
        divergence = _divergence(counts.astype(np.float64), stop, levels)
        if divergence < best:
            best, threshold = divergence, edge
    return threshold


def _divergence(counts: NDArray[np.float64], stop: int, levels: int) -> float:
    """Divergence of counts[:stop], the tail in its last bin, from what so many equal steps make of it."""
    truth = counts[:stop].copy()
    truth[-1] += counts[stop:].sum()
    level = np.arange(stop) * levels // stop if levels < stop else np.arange(stop)
    filled = counts[:stop] > 0
    sums = np.bincount(level, weights=counts[:stop])
    sizes = np.bincount(level, weights=filled)
    spread = np.where(filled, sums[level] / np.maximum(sizes[level], 1), 0.0)
    if not spread.sum():
        return float(np.inf)
    p, q = truth / truth.sum(), spread / spread.sum()
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())


def _pixels(graph: onnx.ModelProto) -> set[str]:
    """Return the tensors that are the uint8 input, only cast and moved."""
    names = {item.name for item in graph.graph.input if item.type.tensor_type.elem_type == TensorProto.UINT8}
    for node in graph.graph.node:
        if node.op_type in _MOVES and node.input[0] in names:
            names.update(node.output)
    return names
