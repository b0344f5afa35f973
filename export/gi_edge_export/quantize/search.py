"""Which method of calibration, and which matrices stay in fp32: measured on validation frames, never on test frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from gi_edge.artifacts.quantisation import METHODS, Dialect, Method, MethodScore
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import flipped_frames
from gi_edge.progress import Progress
from gi_edge_export.config import CalibrationMethod
from gi_edge_export.quantize.graph import FORMS, Range, quantisable, quantised_from_graph
from gi_edge_export.quantize.ranges import Seen, ranges_from_seen
from gi_edge_export.quantize.sessions import logits_of_graph

MOST_FLIPS = 0.01
"""Share of the validation frames that may change class: a fifth of what the gate allows on the test frames."""
MOST_DIVERGENCE = 1e-3
"""Mean divergence of the probabilities, in nats; it sees what a few hundred frames have too few flips to show."""
_RANKING_FRAMES = 64


@dataclass(frozen=True)
class Reference:
    """The fp32 graph, its answers on the validation frames, and what its tensors were on the calibration frames."""

    graph: onnx.ModelProto
    spec: PreprocessSpec
    pixels: NDArray[np.uint8]
    """[n, size, size, 3], validation part."""
    logits: NDArray[np.float32]
    temperature: float
    seen: Mapping[str, Seen]

    def rows(self, rows: NDArray[np.int64]) -> Reference:
        """Return the same with some of the validation frames."""
        return replace(self, pixels=self.pixels[rows], logits=self.logits[rows])


@dataclass(frozen=True)
class Damage:
    """How far an INT8 graph moved the answers."""

    divergence: float
    flips: int
    n: int

    @property
    def is_small(self) -> bool:
        """Whether no further matrix has to be kept."""
        return self.flips <= MOST_FLIPS * self.n and self.divergence <= MOST_DIVERGENCE


@dataclass(frozen=True)
class Choice:
    """What the search ended with."""

    graph: onnx.ModelProto
    method: Method
    tried: tuple[MethodScore, ...]
    kept: tuple[str, ...]
    damage: Damage
    matrices: int


def choose(reference: Reference, dialect: Dialect, wanted: CalibrationMethod, progress: Progress) -> Choice:
    """Choose the method by the least divergence, then keep matrices in fp32, worst first, until the damage is small.

    The number kept is doubled until it suffices and then halved back, so that it takes few passes; it is the smallest
    of those tried. Which is worst is measured by giving every matrix back its precision alone.

    Raises: GateError if nothing could stay in int8.
    """
    # ONNX Runtime runs integer biases several times as fast; they move no answer by more than half a step of int32.
    form = replace(FORMS[dialect], integer_bias=True)
    methods = METHODS if wanted == "auto" else (wanted,)
    ranges = {method: ranges_from_seen(reference.graph, reference.seen, method, form) for method in methods}
    scores = {}
    with progress.task(f"int8 for {dialect}: choose the method", len(methods)) as task:
        for method in methods:
            scores[method] = _damage(reference, ranges[method], dialect, ())
            task.advance(note=method)
    best = min(methods, key=lambda method: (scores[method].divergence, scores[method].flips))
    kept, damage = _kept(reference, ranges[best], dialect, scores[best], progress)
    return Choice(
        graph=quantised_from_graph(reference.graph, ranges[best], FORMS[dialect], kept),
        method=best,
        tried=tuple(MethodScore(method=key, divergence=x.divergence, flips=x.flips) for key, x in scores.items()),
        kept=kept,
        damage=damage,
        matrices=len(quantisable(reference.graph)) - len(kept),
    )


def _kept(
    reference: Reference, ranges: Mapping[str, Range], dialect: Dialect, damage: Damage, progress: Progress
) -> tuple[tuple[str, ...], Damage]:
    if damage.is_small:
        return (), damage
    ranked = _ranked(reference, ranges, dialect, progress)
    found = {0: damage}

    def suffices(count: int) -> bool:
        found[count] = _damage(reference, ranges, dialect, ranked[:count])
        return found[count].is_small

    count = smallest(suffices, len(ranked) - 1)
    if count is None:
        raise GateError(
            f"int8 moves the answers on the validation frames too far whatever stays in fp32: "
            f"{damage.flips} of {damage.n} change class; no bundle was written",
            fix="export without --int8",
        )
    return ranked[:count], found[count]


def smallest(suffices: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest count from 1 to most that was tried and suffices, by doubling and bisection; None if none."""
    short, count = 0, min(1, most)
    while count < most and not suffices(count):
        short, count = count, min(2 * count, most)
    if count == most and not (most and suffices(most)):
        return None
    while count - short > 1:
        middle = (short + count) // 2
        short, count = (short, middle) if suffices(middle) else (middle, count)
    return count


def _ranked(reference: Reference, ranges: Mapping[str, Range], dialect: Dialect, progress: Progress) -> tuple[str, ...]:
    """Return all labels, first the one whose return to fp32 lowers the divergence most."""
    n = len(reference.pixels)
    few = reference.rows(np.unique(np.linspace(0, n - 1, min(n, _RANKING_FRAMES)).round().astype(np.int64)))
    left = {}
    matrices = quantisable(reference.graph)
    with progress.task(f"int8 for {dialect}: find what to keep in fp32", len(matrices)) as task:
        for matrix in matrices:
            left[matrix.label] = _damage(few, ranges, dialect, (matrix.label,)).divergence
            task.advance(note=matrix.label)
    return tuple(sorted(left, key=lambda label: left[label]))


def _damage(reference: Reference, ranges: Mapping[str, Range], dialect: Dialect, kept: tuple[str, ...]) -> Damage:
    form = replace(FORMS[dialect], integer_bias=True)
    graph = quantised_from_graph(reference.graph, ranges, form, kept)
    logits = logits_of_graph(graph, reference.pixels, reference.spec)
    flips = int(flipped_frames(reference.logits, logits).sum())
    return Damage(divergence_of(reference.logits, logits, reference.temperature), flips, len(logits))


def divergence_of(reference: NDArray[np.float32], candidate: NDArray[np.float32], temperature: float) -> float:
    """Return the mean Kullback-Leibler divergence, in nats, of the candidate's probabilities; logits [n, classes]."""
    p, q = (softmax(logits, temperature).astype(np.float64) for logits in (reference, candidate))
    tiny = np.finfo(np.float32).tiny
    return float((p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))).sum(axis=1).mean())
