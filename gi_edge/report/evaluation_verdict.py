"""What an evaluation shows, in sentences: shared by the terminal and the page."""

from __future__ import annotations

from typing import Literal

from gi_edge.artifacts.evaluation import EvaluationResult
from gi_edge.metrics.evaluation import Evaluation, Score
from gi_edge.report.audit_cells import text_from_baseline
from gi_edge.report.evaluation_cells import frames_words, level_words, score_cell
from gi_edge.report.formats import text_from_list

_Standing = Literal["above", "unclear", "below"]


def sentence_from_evaluation(evaluation: Evaluation) -> str:
    """Return macro-F1 with interval, n and groups, and what always answering one class scores."""
    baselines = evaluation.baselines
    return (
        f"Macro-F1 {_score_words(evaluation.overall.macro_f1, evaluation)} on {frames_words(evaluation)}; always "
        f"answering “{baselines.majority_label}” scores {text_from_baseline(baselines.majority_macro_f1)}."
    )


def comparison_sentences(evaluation: Evaluation) -> str:
    """Say what the pixel-free rule scores, where there is one, and whether the model stands above the baselines."""
    rule, text = evaluation.baselines.pixel_free_accuracy, ""
    if rule is not None:
        text = (
            "Copying the label of the nearest-numbered training frame, without a look at the pixels, scores "
            f"{text_from_baseline(rule)} accuracy; the model scores "
            f"{_score_words(evaluation.overall.accuracy, evaluation)}. "
        )
    return text + _conclusion(_standings(evaluation))


def outcome_from_evaluation(result: EvaluationResult) -> Literal["pass", "fail", "unmeasured"]:
    """Return fail for a model no better than a rule without pixels, pass if its intervals lie above both rules.

    Without held-out videos or patients nothing passes: a score on such a split does not hold for a new patient.
    """
    standings = set(_standings(result.evaluation).values())
    if "below" in standings:
        return "fail"
    return "pass" if standings == {"above"} and result.split_kind == "group" else "unmeasured"


def _standings(evaluation: Evaluation) -> dict[str, _Standing]:
    """Return where each score that a rule without pixels has too stands to that rule's."""
    overall, baselines = evaluation.overall, evaluation.baselines
    standings = {"macro-F1": _standing(overall.macro_f1, baselines.majority_macro_f1)}
    if baselines.pixel_free_accuracy is not None:
        standings["accuracy"] = _standing(overall.accuracy, baselines.pixel_free_accuracy)
    return standings


def _standing(score: Score, baseline: float) -> _Standing:
    if score.value is None or score.value <= baseline:
        return "below"
    return "above" if score.interval.low is not None and score.interval.low > baseline else "unclear"


def _conclusion(standings: dict[str, _Standing]) -> str:
    below, unclear = (
        text_from_list(tuple(name for name, standing in standings.items() if standing == kind))
        for kind in ("below", "unclear")
    )
    if below:
        return f"In {below} the model is no better than a rule that looks at no pixels."
    if unclear:
        return f"In {unclear} these frames cannot show that it is better than a rule that looks at no pixels."
    many = len(standings) > 1
    return "Both intervals lie above these baselines." if many else "The interval lies above this baseline."


def _score_words(score: Score, evaluation: Evaluation) -> str:
    cell = score_cell("", score)
    if score.interval.undecided is not None:
        return f"{cell.value} ({level_words(evaluation)}: {cell.interval})"
    return f"{cell.value} ({level_words(evaluation)} {cell.interval})"
