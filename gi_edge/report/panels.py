"""What the models of a bundle answered: scores that are identical once, changed frames, further comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from gi_edge.artifacts.results import BundleRun, Comparison, FlippedFrame, ParityPass
from gi_edge.metrics.classification import Classification
from gi_edge.report.formats import text_from_count, text_from_error, text_from_list
from gi_edge.report.rows import ClassRow, class_rows
from gi_edge.report.standing import labels_from_models

_FRAMES = {"dataset": "held-out frames", "samples": "frames packed in the bundle", "probes": "probe images"}


@dataclass(frozen=True)
class ConfusionPanel:
    """One confusion matrix, and whose it is."""

    title: str
    scores: Classification


@dataclass(frozen=True)
class ClassPanel:
    """One table of classes, and which models it holds for."""

    title: str
    rows: tuple[ClassRow, ...]


def _parities(bundle: BundleRun) -> list[tuple[str, ParityPass]]:
    labels = labels_from_models(bundle.models)
    return [
        (label, model.parity) for label, model in zip(labels, bundle.models, strict=True) if model.parity is not None
    ]


def confusion_panels(bundle: BundleRun) -> tuple[ConfusionPanel, ...]:
    """Return the distinct confusion matrices of the reference and of the engines; none without a parity pass."""
    owners: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    scores: dict[tuple[tuple[int, ...], ...], Classification] = {}
    for _, parity in _parities(bundle):
        owners.setdefault(parity.reference.confusion, ["fp32 reference"])
        scores.setdefault(parity.reference.confusion, parity.reference)
    for label, parity in _parities(bundle):
        owners.setdefault(parity.engine.confusion, []).append(f"{label} engine")
        scores.setdefault(parity.engine.confusion, parity.engine)
    return tuple(ConfusionPanel(text_from_list(tuple(names)), scores[key]) for key, names in owners.items())


def sameness_sentence(bundle: BundleRun) -> str:
    """Say which engines answer as the reference does on every frame, and which do not."""
    parities = _parities(bundle)
    flips = {label: parity.verdict.parity.flips for label, parity in parities}
    same = tuple(label for label, count in flips.items() if not count)
    sentences = []
    if same:
        verb = "gives" if len(same) == 1 else "give"
        sentences.append(f"{text_from_list(same)} {verb} the class of the reference on every frame here.")
    for label, parity in parities:
        if label in same:
            continue
        share = f"{text_from_count(flips[label])} of {text_from_count(parity.engine.n)}"
        hidden = parity.engine.confusion == parity.reference.confusion
        hint = "; the changes cancel out in these counts" if hidden else ""
        sentences.append(f"{label} gives another class than the reference on {share} frames here{hint}.")
    return " ".join(sentences)


def class_panels(bundle: BundleRun) -> tuple[ClassPanel, ...]:
    """Return one table per distinct set of class scores."""
    groups: dict[tuple[ClassRow, ...], list[str]] = {}
    for label, parity in _parities(bundle):
        groups.setdefault(class_rows(parity.engine, parity.reference), []).append(label)
    return tuple(ClassPanel(text_from_list(tuple(names)), rows) for rows, names in groups.items())


@dataclass(frozen=True)
class FlippedTile:
    """One frame that a model or more put into another class than the reference."""

    frame: FlippedFrame
    """As the first such model found it."""
    answers: tuple[tuple[str, str, float], ...]
    """Label, class and its probability of each model that changed it."""


def flipped_tiles(bundle: BundleRun) -> tuple[FlippedTile, ...]:
    """Return the changed frames, each once, in the order of the models and of their answers' certainty."""
    first: dict[str, FlippedFrame] = {}
    answers: dict[str, list[tuple[str, str, float]]] = {}
    for label, parity in _parities(bundle):
        for item in parity.flipped:
            first.setdefault(item.frame, item)
            answers.setdefault(item.frame, []).append((label, item.engine, item.engine_probability))
    return tuple(FlippedTile(item, tuple(answers[name])) for name, item in first.items())


def flipped_sentence(bundle: BundleRun) -> str:
    """Say how many of the changed frames of each model are shown."""
    parts = (
        f"{label}: {text_from_count(len(parity.flipped))} of its {text_from_count(parity.verdict.parity.flips)}"
        for label, parity in _parities(bundle)
        if parity.verdict.parity.flips
    )
    return f"Shown of the changed frames: {'; '.join(parts)}."


@dataclass(frozen=True)
class ComparisonRow:
    """One comparison with something that is not the truth."""

    label: str
    against: str
    frames: str
    flips: str
    max_abs_error: str
    outcome: str
    reasons: str


def comparison_rows(bundle: BundleRun) -> tuple[ComparisonRow, ...]:
    """Return one row per model and comparison."""
    labels = labels_from_models(bundle.models)
    return tuple(
        ComparisonRow(
            label=label,
            against=comparison.against,
            frames=_FRAMES[comparison.frames],
            flips=f"{text_from_count(comparison.parity.flips)} / {text_from_count(comparison.parity.n)}",
            max_abs_error=text_from_error(comparison.parity.max_abs_error),
            outcome=_outcome(comparison),
            reasons="; ".join(comparison.reasons),
        )
        for label, model in zip(labels, bundle.models, strict=True)
        for comparison in model.comparisons
    )


def _outcome(comparison: Comparison) -> str:
    if not comparison.is_alike:
        return "differs"
    return "alike" if comparison.computes_precision else "alike, computed in fp32"
