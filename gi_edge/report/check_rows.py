"""The checks behind each verdict as rows: what changed, how sure that is, and what was allowed."""

from __future__ import annotations

from dataclasses import dataclass

from gi_edge.artifacts.results import BundleRun, speaking_verdict
from gi_edge.metrics.verdict import Check
from gi_edge.report.formats import NOT_MEASURED, text_from_count
from gi_edge.report.standing import labels_from_models

_NAMES = {"macro_f1": "Macro-F1", "mcc": "MCC", "sensitivity": "Sensitivity", "ece": "ECE", "brier": "Brier"}


@dataclass(frozen=True)
class CheckRow:
    """One score of one model file. Differences are engine minus reference, in points of a hundredth."""

    label: str
    score: str
    n: str
    difference: str
    interval: str
    bound: str
    """Upper 95 % bound of the loss; of the rise for ECE and Brier."""
    margin: str
    outcome: str


def check_rows(bundle: BundleRun) -> tuple[CheckRow, ...]:
    """Return one row per model file and score, by the verdict that speaks of its precision; files without none."""
    return tuple(
        _row(label, check)
        for label, model in zip(labels_from_models(bundle.models), bundle.models, strict=True)
        for check in speaking_verdict(model).checks
        if check.name in _NAMES
    )


def _row(label: str, check: Check) -> CheckRow:
    known = check.low is not None and check.high is not None
    score = f"{_NAMES[check.name]}{f' of {check.label}' if check.label else ''}"
    return CheckRow(
        label=label,
        score=score,
        n=text_from_count(check.n),
        difference=_points(check.value),
        interval=f"{_points(check.low)} to {_points(check.high)}" if known else NOT_MEASURED,
        bound=NOT_MEASURED if check.bound is None else f"{100 * check.bound:.2f}",
        margin=NOT_MEASURED if check.limit is None else f"{100 * check.limit:g}",
        outcome={"told": "not judged", "undecided": "undecided" if check.needed else "too few frames"}.get(
            check.outcome, check.outcome
        ),
    )


def _points(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{round(100 * share, 2) + 0.0:+.2f}"
