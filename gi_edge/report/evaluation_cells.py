"""What an evaluation says, as cells and sentences: shared by the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gi_edge.metrics.counts import scores_from_confusion
from gi_edge.metrics.evaluation import ClassEvaluation, Evaluation, Overall, Score
from gi_edge.metrics.uncertainty import Interval
from gi_edge.report.audit_cells import text_from_baseline
from gi_edge.report.formats import NOT_MEASURED, text_from_count, text_from_rate, text_from_score

TOO_FEW = "too few to decide"
"""Stands in the place of an interval that the data cannot carry; a note says why."""

SCORE_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro-F1",
    "weighted_precision": "Weighted precision",
    "weighted_recall": "Weighted recall",
    "weighted_f1": "Weighted F1",
    "mcc": "MCC, multi-class",
    "macro_auroc": "Macro AUROC",
    "macro_average_precision": "Macro average precision",
    "ece": "ECE, lower is better",
    "brier": "Brier, lower is better",
    "nll": "NLL, lower is better",
}
"""Every average is named; the keys are those of Overall."""

_CLASS_KEYS = ("sensitivity", "specificity", "precision", "f1", "auroc", "average_precision")
_UNBOUNDED = ("brier", "nll")
_OTHER_REASONS = ("no spread", "no frame")


@dataclass(frozen=True)
class ScoreCell:
    """A score and its interval, ready to print."""

    value: str
    interval: str
    """ "0.756 to 0.861", or words where there is none; never empty."""


@dataclass(frozen=True)
class ScoreRow:
    """One score of all classes together, beside the rules that look at no pixel."""

    name: str
    score: ScoreCell
    majority: str
    pixel_free: str


@dataclass(frozen=True)
class ClassRow:
    """One class against the rest."""

    label: str
    frames: str
    groups: str
    sensitivity: ScoreCell
    specificity: ScoreCell
    precision: ScoreCell
    f1: ScoreCell
    auroc: ScoreCell
    average_precision: ScoreCell


def frames_words(evaluation: Evaluation) -> str:
    """Return n and the number of groups, "214 frames of 12 videos", or that no group is known."""
    frames = counted(evaluation.n, "frame")
    if evaluation.groups is None:
        return f"{frames}, no video or patient known"
    return f"{frames} of {counted(evaluation.groups, evaluation.group_noun or 'group')}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 video", "1,586 frames"."""
    return f"{text_from_count(count)} {noun}{'' if count == 1 else 's'}"


def level_words(evaluation: Evaluation) -> str:
    """Return "95 % interval"."""
    return f"{text_from_rate(evaluation.bootstrap.level)} interval"


def groups_heading(evaluation: Evaluation) -> str:
    """Return what a column of groups is called: "Videos", "Clusters"."""
    return f"{(evaluation.group_noun or 'group').split()[-1].capitalize()}s"


def score_rows(evaluation: Evaluation) -> tuple[ScoreRow, ...]:
    """Return the scores of all classes together, in the order of SCORE_NAMES."""
    majority, pixel_free = _majority_scores(evaluation), evaluation.baselines.pixel_free_accuracy
    return tuple(
        ScoreRow(
            name=name,
            score=score_cell(key, getattr(evaluation.overall, key)),
            majority=_score_text(key, majority.get(key)),
            pixel_free=_score_text(key, pixel_free if key == "accuracy" else None),
        )
        for key, name in SCORE_NAMES.items()
    )


def class_rows(evaluation: Evaluation) -> tuple[ClassRow, ...]:
    """Return one row per class, in class order."""
    return tuple(_class_row(item) for item in evaluation.per_class)


def score_cell(key: str, score: Score) -> ScoreCell:
    """Return the texts of a score; key is its name in Overall or ClassEvaluation."""
    return ScoreCell(_score_text(key, score.value), _interval_text(key, score.interval))


def undecided_notes(scores: Iterable[Score]) -> tuple[str, ...]:
    """Return why scores have no interval, one sentence per kind of reason, each reason once."""
    kinds: dict[str, list[str]] = {}
    for reason in dict.fromkeys(score.interval.undecided for score in scores):
        if reason is not None:
            kind, _, rest = reason.partition(": ")
            kinds.setdefault(kind, []).append(rest.replace("_", " ") if kind.startswith("no spread") else rest)
    return tuple(f"{kind[:1].upper()}{kind[1:]}{_listed(rests)}." for kind, rests in kinds.items())


def score_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """Return what must be read beside the scores of all classes together."""
    baselines = evaluation.baselines
    absent = "There is no pixel-free baseline: names that carry video and frame number are not in both parts."
    rule = "Pixel-free: copies the label of the nearest-numbered training frame of the same video; no pixel is seen."
    return (
        *undecided_notes(getattr(evaluation.overall, key) for key in Overall.model_fields),
        "Macro and balanced: mean over the classes that occur in this part, each counted alike. Weighted: by number "
        "of frames, so that frequent classes decide.",
        f"Majority: always answers “{baselines.majority_label}”, the most frequent class of the training part.",
        absent if baselines.pixel_free_accuracy is None else rule,
        interval_note(evaluation),
    )


def temperature_note(temperature: float) -> str:
    """Return what the probabilities are that ECE, Brier and NLL judge."""
    if temperature == 1.0:
        return "ECE, Brier and NLL judge the softmax of the logits, at temperature 1."
    return (
        f"ECE, Brier and NLL judge the softmax of logits / {temperature:.3g}, a temperature fitted on the validation "
        "part; it changes no answer."
    )


def class_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """Return what must be read beside the scores of the classes."""
    scores = (getattr(item, key) for item in evaluation.per_class for key in _CLASS_KEYS)
    dash = any(getattr(item, key).value is None for item in evaluation.per_class for key in _CLASS_KEYS)
    return (
        *undecided_notes(scores),
        *([f"{NOT_MEASURED}: this part does not define the score."] if dash else []),
        "Each class against all others. Sensitivity is the recall; AP is the average precision.",
    )


def interval_note(evaluation: Evaluation) -> str:
    """Say by what, how often and at which level the intervals were drawn."""
    bootstrap = evaluation.bootstrap
    often = f"{text_from_count(bootstrap.resamples)} times"
    rankings = f"{text_from_count(bootstrap.frame_resamples)} times for AUROC and average precision"
    start = f"Intervals: {text_from_rate(bootstrap.level)}, percentile bootstrap that resamples "
    if evaluation.groups is None:
        return (
            f"{start}frame by frame, {often} ({rankings}, ECE, Brier and NLL). Where frames of one patient resemble "
            "each other, such intervals are too narrow."
        )
    return f"{start}each {evaluation.group_noun or 'group'} with all its frames, {often} ({rankings})."


def _class_row(item: ClassEvaluation) -> ClassRow:
    return ClassRow(
        label=item.label,
        frames=text_from_count(item.support),
        groups=NOT_MEASURED if item.groups is None else text_from_count(item.groups),
        **{key: score_cell(key, getattr(item, key)) for key in _CLASS_KEYS},
    )


def _majority_scores(evaluation: Evaluation) -> dict[str, float]:
    """Score the majority rule on these frames: its answers follow from its label and the support of the classes."""
    baselines = evaluation.baselines
    known = {"accuracy": baselines.majority_accuracy, "macro_f1": baselines.majority_macro_f1}
    if baselines.majority_label not in evaluation.classes:
        return known
    answers = np.zeros_like(np.asarray(evaluation.confusion, dtype=np.int64))
    answers[:, evaluation.classes.index(baselines.majority_label)] = [item.support for item in evaluation.per_class]
    scores = scores_from_confusion(answers)
    return {**{key: float(scores[key]) for key in SCORE_NAMES if key in scores}, **known}


def _score_text(key: str, value: float | None) -> str:
    """Never 1.000 for what is not all, except for the scores that may exceed 1."""
    return text_from_score(value) if value is None or key in _UNBOUNDED else text_from_baseline(value)


def _interval_text(key: str, interval: Interval) -> str:
    if interval.undecided is not None:
        return next((words for words in _OTHER_REASONS if interval.undecided.startswith(words)), TOO_FEW)
    return f"{_score_text(key, interval.low)} to {_score_text(key, interval.high)}"


def _listed(rests: list[str]) -> str:
    """Join what follows the kind of reason; a need that all share is said once."""
    split = [rest.rpartition(", at least ") for rest in rests]
    if not all(rests):
        return ""
    if all(head for head, _, _ in split) and len({need for _, _, need in split}) == 1:
        return f": {', '.join(head for head, _, _ in split)}; at least {split[0][2]}"
    return f": {'; '.join(rests)}"
