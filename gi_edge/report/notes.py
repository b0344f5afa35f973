"""Cautions in plain words: what the numbers of a result do not show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from gi_edge.artifacts.results import BenchResult, BundleRun, Comparison, ModelRun, speaking_verdict
from gi_edge.metrics.losses import Margins
from gi_edge.metrics.parity import LIMITS, Precision
from gi_edge.metrics.verdict import Status, Verdict
from gi_edge.report.formats import text_from_list, text_from_rate
from gi_edge.report.speed_notes import region_notes, speed_notes
from gi_edge.report.standing import is_of_reference, labels_from_models, standing_from_model

FEW_FRAMES = 20
"""Below this support, one frame moves a class's recall by more than 5 points."""

PROBE_CAUTION = (
    "Probe images are drawn by gi-edge and have no labels: they show a broken engine, but prove no diagnosis."
)

_NON_COMMERCIAL = re.compile(r"(?<![a-z])(nc(?![a-z])|non-?commercial)", re.IGNORECASE)
_NAMED_CLASSES = 5


def is_non_commercial(licence: str) -> bool:
    """Tell whether a licence names the NC condition, as in CC BY-NC 4.0; "licence" itself does not count."""
    return _NON_COMMERCIAL.search(licence) is not None


class Licensed(Protocol):
    """A result that says under which licences its model came about."""

    @property
    def backbone_licence(self) -> str:
        """Of the base weights."""

    @property
    def dataset_licence(self) -> str:
        """Of the frames it was trained on."""


def licence_notes(result: Licensed, noun: str = "engine") -> tuple[str, ...]:
    """Return one sentence per licence that forbids commercial use; noun is what the result is of."""
    parts = (
        ("backbone", result.backbone_licence, f"the {noun} contains its weights"),
        ("dataset", result.dataset_licence, f"the {noun} was trained on it"),
    )
    return tuple(
        f"Commercial use is not permitted by the licence of the {part} ({licence}); {link}."
        for part, licence, link in parts
        if is_non_commercial(licence)
    )


def limits_note(precisions: Iterable[Precision]) -> str:
    """Return the limits and margins that the verdicts on these precisions apply."""
    shown = dict.fromkeys(precisions)
    text = f"Limits: {'; '.join(_limit(precision) for precision in shown)}."
    if not any(LIMITS[precision].by_margins for precision in shown):
        return text
    margins = Margins()
    return (
        f"{text} Beside fp32, macro-F1 may lose less than {100 * margins.macro_f1:g} points and the sensitivity of a "
        f"class less than {100 * margins.sensitivity:g}, each at its upper 95 % bound, frames of one group counted by "
        "how alike they are; else it is undecided. A class needs some 300 frames to be judged."
    )


def _limit(precision: Precision) -> str:
    limits = LIMITS[precision]
    parts = []
    if limits.max_flip_rate is not None:
        parts.append(f"at most {text_from_rate(limits.max_flip_rate)} of the frames may change class")
    if limits.max_abs_error is not None:
        parts.append(f"no logit may differ by more than {limits.max_abs_error:g}")
    if limits.max_abs_error is None and limits.max_probability_error is not None:
        parts.append(f"no probability may move by more than {limits.max_probability_error:g}")
    return f"{precision}: {', '.join(parts)}"


def failure_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return why each model that failed did so, one sentence each."""
    return _standing_notes(bundle, "fail", "failed")


def undecided_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return why each model that could not be judged could not, one sentence each."""
    return _standing_notes(bundle, "undecided", "is undecided")


def _standing_notes(bundle: BundleRun, outcome: Status, words: str) -> tuple[str, ...]:
    standings = [(label, standing_from_model(model)) for label, model in _labelled(bundle)]
    return tuple(
        f"{label} {words} {'here' if standing.source == 'here' else 'at export'}: {standing.reason}."
        for label, standing in standings
        if standing.outcome == outcome
    )


def parity_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return what must be read beside the verdicts: what is unproven here, and what the export said."""
    return tuple(f"{label}: {note}" for label, model in _labelled(bundle) for note in _model_notes(model))


def _labelled(bundle: BundleRun) -> list[tuple[str, ModelRun]]:
    return list(zip(labels_from_models(bundle.models), bundle.models, strict=True))


def _model_notes(model: ModelRun) -> list[str]:
    parity, exported = model.parity, _export_words(model.export_verdict)
    if parity is None:
        notes = [f"parity was not measured in this run; the verdict at export was {exported}."]
        is_widened = any(item.frames == "probes" and not item.computes_precision for item in model.comparisons)
        return [*notes, f"{_widening(model)}."] if is_widened else notes
    notes = []
    if not parity.verdict.computes_precision:
        notes.append(f"{_widening(model)}; the verdict in this precision is the export's: {exported}.")
    elif model.export_verdict.status == "fail":
        notes.append(f"the verdict at export was {exported}.")
    if parity.frames == "samples":
        notes.append(f"compared on the {parity.verdict.parity.n:,} test frames packed in the bundle, not on all.")
    notes += _unjudged(speaking_verdict(model))
    if parity.verdict.parity.nonfinite_frames:
        count, n = parity.verdict.parity.nonfinite_frames, parity.verdict.parity.n
        notes.append(f"{count:,} of {n:,} frames gave NaN or infinity; each counts as changed.")
    return notes


def _widening(model: ModelRun) -> str:
    if "onnxruntime" in model.runtime.lower() and model.provider.startswith("CPU"):
        return (
            f"ONNX Runtime's CPU provider computes {model.precision} graphs in fp32: agreement here says nothing "
            f"of {model.precision}"
        )
    return f"{model.provider} does not compute in {model.precision}: agreement here says nothing of {model.precision}"


def _unjudged(verdict: Verdict) -> list[str]:
    """Say which classes no verdict covers, and what the numbers suggest where it is open."""
    few = [check for check in verdict.checks if check.outcome == "undecided" and not check.needed and check.label]
    notes = []
    if few:
        names = _names(tuple(f"{check.label} ({check.n:,})" for check in few), len(few))
        notes.append(f"too few frames to judge on their own: {names}; their changes count in macro-F1.")
    rate = verdict.parity.expected_flip_rate
    if verdict.status == "undecided" and rate is not None and verdict.parity.near_ties is not None:
        notes.append(
            f"not part of the verdict: {verdict.parity.near_ties:,} of {verdict.parity.n:,} frames are so near a tie "
            f"that the largest logit difference could change them; by the sizes of differences and gaps, rounding "
            f"would change about {text_from_rate(rate)} of unseen frames."
        )
    return notes


def _export_words(verdict: Verdict) -> str:
    parity = verdict.parity
    reasons = f"; {'; '.join(verdict.reasons)}" if verdict.status == "fail" else ""
    return (
        f"{verdict.status} ({parity.flips:,} of {parity.n:,} frames changed class{reasons}; computed by "
        f"{verdict.computed_by})"
    )


def comparison_notes(bundle: BundleRun) -> tuple[str, ...]:
    """Return what the comparisons with something that is not the truth came to, and what probes cannot show."""
    alike: dict[str, list[str]] = {}
    for label, model in _labelled(bundle):
        for comparison in model.comparisons:
            alike.setdefault(_comparison_words(comparison, model.precision), []).append(label)
    notes = tuple(f"{text_from_list(tuple(labels))}: {words}" for words, labels in alike.items())
    on_probes = any(item.frames == "probes" for model in bundle.models for item in model.comparisons)
    return (*notes, PROBE_CAUTION) if on_probes else notes


def _comparison_words(comparison: Comparison, precision: Precision) -> str:
    parity = comparison.parity
    probes = comparison.frames == "probes"
    against = "the reference" if is_of_reference(comparison) else comparison.against
    counts = f"{parity.flips:,} of {parity.n:,} {'probe images' if probes else 'frames'} changed class"
    if comparison.is_alike:
        here = "here" if probes else "by one of the two"
        shown = (
            "" if comparison.computes_precision else f"; computed in fp32 {here}, which shows nothing of {precision}"
        )
        return f"alike {against}; {counts}{shown}."
    return f"differs from {against}; {counts}{''.join(f'; {reason}' for reason in comparison.reasons)}."


def support_note(bundle: BundleRun) -> str | None:
    """Name the classes whose scores rest on few frames or none, or None."""
    scored = next((model.parity.engine for model in bundle.models if model.parity), None)
    if scored is None:
        return None
    few = tuple(f"{item.label} ({item.support})" for item in scored.classes if 0 < item.support < FEW_FRAMES)
    absent = tuple(item.label for item in scored.classes if not item.support)
    total = len(scored.classes)
    sentences = []
    if few:
        sentences.append(
            f"Fewer than {FEW_FRAMES} frames: {_names(few, total)}; one frame moves such a recall by over 5 points."
        )
    if absent:
        sentences.append(f"No frame: {_names(absent, total)}; nothing is known of such a recall.")
    return " ".join(sentences) or None


def _names(labels: tuple[str, ...], total: int) -> str:
    return text_from_list(labels) if len(labels) <= _NAMED_CLASSES else f"{len(labels)} of {total} classes"


def notes_from_bundle(bundle: BundleRun) -> tuple[str, ...]:
    """Return every caution on a bundle, the gravest first."""
    notes = (
        *failure_notes(bundle),
        *undecided_notes(bundle),
        *parity_notes(bundle),
        *comparison_notes(bundle),
        *licence_notes(bundle),
        bundle.split_caution,
        support_note(bundle),
        *speed_notes(bundle),
        *region_notes(bundle),
    )
    return tuple(note for note in notes if note)


def bound_note(result: BenchResult) -> str | None:
    """Explain the upper bound of the flip rate, or None if no parity was measured."""
    models = [model for bundle in result.bundles for model in bundle.models]
    if not any(model.parity for model in models):
        return None
    return (
        "Upper bound: with 95 % confidence the true share of changed frames is below it (Clopper and Pearson), if "
        "frames were independent; neighbouring frames of one video are not."
    )


def _bound_notes(result: BenchResult) -> tuple[str, ...]:
    bound = bound_note(result)
    limits = limits_note(model.precision for bundle in result.bundles for model in bundle.models)
    return (f"{bound} {limits}",) if bound else ()


def notes_from_result(result: BenchResult) -> dict[str, tuple[str, ...]]:
    """Return the cautions by bundle name, and under "All bundles" those that hold for each and for the run."""
    by_bundle = [(bundle.name, notes_from_bundle(bundle)) for bundle in result.bundles]
    shared = [note for note in (by_bundle[0][1] if by_bundle else ()) if all(note in notes for _, notes in by_bundle)]
    if len(by_bundle) < 2:
        shared = []
    grouped: dict[str, tuple[str, ...]] = {}
    for name, notes in by_bundle:
        own = tuple(note for note in notes if note not in shared)
        grouped[name] = (*grouped.get(name, ()), *own)
    grouped["All bundles"] = (*shared, *_bound_notes(result), environment_note(result))
    return {name: notes for name, notes in grouped.items() if notes}


def environment_note(result: BenchResult) -> str:
    """Return where the result was measured, in one sentence."""
    place = result.environment
    runtimes = dict.fromkeys(model.runtime for bundle in result.bundles for model in bundle.models)
    parts = (
        f"{place.cpu}, {place.logical_cpus} logical CPUs",
        *(gpu.text for gpu in place.gpus),
        *runtimes,
        place.platform,
    )
    return f"Measured {result.created} on {'; '.join(parts)}; gi-edge {result.gi_edge_version}."
