"""The checks of the gate on diagnoses and calibration: what was lost, what may have been lost, and the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gi_edge.config import Value
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.counts import confusion_from_labels, scores_from_confusion
from gi_edge.metrics.differences import Shift, answer_shifts, calibration_shifts
from gi_edge.metrics.noninferiority import (
    EVENTS_AT_ZERO,
    Bounds,
    Most,
    change_correlation,
    design_effect,
    flip_costs,
    loss_bounds,
)
from gi_edge.metrics.parity import leads
from gi_edge.metrics.resample import Bootstrap
from gi_edge.metrics.uncertainty import Ground, ground_from_labels, undecided_reason
from gi_edge.metrics.verdict import Check, Outcome

_BOOTSTRAP = Bootstrap(resamples=2_000, frame_resamples=1_000)
_ERROR = 0.05
"""Chance of failing a sound engine, over all checks together."""
_CALIBRATION_CHECKS = 2

Logits = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of the reference and of the candidate, each [n, classes]."""


class Margins(Value):
    """How much a precision may lose. Scores are shares: 0.01 is one point."""

    macro_f1: float = Field(default=0.005, gt=0, lt=1)
    sensitivity: float = Field(default=0.01, gt=0, lt=1)
    """Of any class that has frames enough to decide."""
    calibration: float = Field(default=0.01, gt=0, lt=1)
    """Rise of ECE and of the Brier score."""


class _Loss(NamedTuple):
    """One score's loss, ready to be judged."""

    shift: Shift
    bounds: Bounds
    margin: float
    n: int
    frames_needed: int
    interval_fault: str | None
    """Why its bootstrap interval cannot be given, if so."""
    few_groups: str | None
    """Why nothing can pass on so few groups, if so."""

    @property
    def bound(self) -> float:
        """The wider of the bound for rare events and that of the bootstrap."""
        return max(self.bounds.upper, self.shift.fall if math.isfinite(self.shift.fall) else 0.0)

    @property
    def is_seen(self) -> bool:
        """Whether more than the margin was lost on these very frames."""
        return -self.shift.value > self.margin

    @property
    def outcome(self) -> Outcome:
        """To fail, a loss must be seen, not only possible."""
        if self.is_seen and self.bounds.lower > self.margin:
            return "fail"
        return "pass" if self.bound < self.margin and self.few_groups is None else "undecided"


class _Compared(NamedTuple):
    """Both models' answers, and what bounds need to know of the frames."""

    truth: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: Sequence[str] | None
    correlation: float
    fail_confidence: float

    def effect(self, rows: NDArray[np.bool_]) -> float:
        """Return the design effect of some of the frames."""
        if self.groups is None:
            return 1.0
        return design_effect(self.correlation, [self.groups[int(i)] for i in np.flatnonzero(rows)])


def loss_checks(
    truth: NDArray[np.int64],
    logits: Logits,
    classes: tuple[str, ...],
    groups: Sequence[str] | None,
    margins: Margins | None,
) -> list[Check]:
    """Return the checks of macro-F1, MCC and each class's sensitivity; without margins all are told, not judged.

    truth [n] are class indices; logits must be finite.
    """
    before, after = (item.argmax(axis=1).astype(np.int64) for item in logits)
    ground = ground_from_labels(truth, classes, groups)
    shifts = answer_shifts(truth, (before, after), len(classes), groups, _BOOTSTRAP)
    present = [int(i) for i in np.unique(truth)]
    mcc = _told("mcc", shifts["mcc"][0], len(truth), undecided_reason(ground, "mcc"))
    if margins is None:
        macro = _told("macro_f1", shifts["macro_f1"][0], len(truth), undecided_reason(ground, "macro_f1"))
        return [macro, mcc, *(_told_class(truth, shifts["sensitivity"][i], ground, i) for i in present)]
    fail_confidence = 1 - _ERROR / (1 + len(present) + _CALIBRATION_CHECKS)
    correlation = change_correlation(leads(*logits), groups)
    compared = _Compared(truth, before, after, classes, groups, correlation, fail_confidence)
    return [
        _macro_check(compared, shifts["macro_f1"][0], ground, margins.macro_f1),
        mcc,
        *(_class_check(compared, shifts["sensitivity"][i], ground, margins.sensitivity, i) for i in present),
    ]


def calibration_checks(
    truth: NDArray[np.int64], logits: Logits, groups: Sequence[str] | None, margins: Margins | None
) -> list[Check]:
    """Return the checks of ECE and Brier score, from logits divided by the temperature."""
    shifts = calibration_shifts(truth, (softmax(logits[0]), softmax(logits[1])), groups, _BOOTSTRAP)
    if margins is None:
        return [_told(name, shift, len(truth), None) for name, shift in shifts.items()]
    return [_calibration_check(name, shift, len(truth), margins.calibration) for name, shift in shifts.items()]


def _calibration_check(name: str, shift: Shift, n: int, limit: float) -> Check:
    outcome: Outcome = "pass" if shift.high < limit else "fail" if shift.low > limit else "undecided"
    spelt = {"ece": "ECE", "brier": "the Brier score"}[name]
    told = _told(name, shift, n, None)
    reason = f"{spelt} rose by {shift.value:.2g} (95 % interval {shift.low:.2g} to {shift.high:.2g}); limit {limit:g}"
    return told.model_copy(
        update={
            "bound": shift.high,
            "limit": limit,
            "outcome": outcome,
            "reason": "" if outcome == "pass" else reason,
        }
    )


def _macro_check(compared: _Compared, shift: Shift, ground: Ground, margin: float) -> Check:
    truth, before, after = compared.truth, compared.before, compared.after
    n = len(truth)
    confusion = confusion_from_labels(truth, before, len(compared.classes))
    costs = flip_costs(confusion)
    dearest, costliest = costs.costliest()
    effect = compared.effect(np.ones(n, dtype=bool))
    most = Most(costliest, gain=1 - float(scores_from_confusion(confusion)["macro_f1"]))
    bounds = loss_bounds(costs.of(truth, before, after), most, effect, compared.fail_confidence)
    frames_needed = math.ceil(n * EVENTS_AT_ZERO * effect * costliest / margin)
    loss = _Loss(shift, bounds, margin, n, frames_needed, undecided_reason(ground, "macro_f1"), _few_groups(ground))
    changed = int((before != after).sum())
    undecided = loss.few_groups or (
        f"{changed or 'none'} of {n:,} frames changed, which leaves room for a loss of {_points(loss.bound)}; "
        f"{_points(margin)} may be lost; about {_about(frames_needed):,} such frames without a change would decide "
        f"(a frame of {compared.classes[dearest]} is the costliest to lose)"
    )
    reasons = {
        "fail": f"macro-F1 fell by {_points(-shift.value)}; {_points(margin)} may be lost",
        "undecided": f"too little data to decide on macro-F1: {undecided}",
    }
    return _judged("macro_f1", loss, reasons).model_copy(update={"needed": True})


def _class_check(compared: _Compared, shift: Shift, ground: Ground, margin: float, index: int) -> Check:
    rows = compared.truth == index
    n, label = int(rows.sum()), compared.classes[index]
    right = (compared.before == index)[rows].astype(np.float64)
    missed = right - (compared.after == index)[rows]
    effect = compared.effect(rows)
    bounds = loss_bounds(missed / n, Most(1 / n, gain=1 - float(right.mean())), effect, compared.fail_confidence)
    frames_needed = math.ceil(EVENTS_AT_ZERO * effect / margin)
    fault = undecided_reason(ground, "sensitivity", index)
    loss = _Loss(shift, bounds, margin, n, frames_needed, fault, _few_groups(ground))
    newly = f"{int((missed > 0).sum())} of its {n:,} frames newly missed; {_points(margin)} of sensitivity may be lost"
    undecided = loss.few_groups or f"{newly}; {frames_needed:,} such frames without a change would decide"
    reasons = {"fail": f"{label}: {newly}", "undecided": f"too little data to decide on {label}: {undecided}"}
    needed = loss.is_seen or n >= frames_needed
    return _judged("sensitivity", loss, reasons).model_copy(update={"label": label, "needed": needed})


def _few_groups(ground: Ground) -> str | None:
    return None if ground.groups is None else undecided_reason(ground, "accuracy")


def _judged(name: str, loss: _Loss, reasons: dict[str, str]) -> Check:
    outcome = loss.outcome
    return _told(name, loss.shift, loss.n, loss.interval_fault).model_copy(
        update={
            "bound": min(loss.bound, 1.0),
            "limit": loss.margin,
            "outcome": outcome,
            "frames_needed": loss.frames_needed,
            "reason": reasons.get(outcome, ""),
        }
    )


def _told(name: str, shift: Shift, n: int, fault: str | None) -> Check:
    known = fault is None and math.isfinite(shift.low)
    low, high = (shift.low, shift.high) if known else (None, None)
    return Check(name=name, n=n, value=shift.value, low=low, high=high, outcome="told", needed=False)


def _told_class(truth: NDArray[np.int64], shift: Shift, ground: Ground, index: int) -> Check:
    told = _told("sensitivity", shift, int((truth == index).sum()), undecided_reason(ground, "sensitivity", index))
    return told.model_copy(update={"label": ground.classes[index]})


def _about(count: int) -> int:
    """Return a count rounded up to two significant digits."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return math.ceil(count / step) * step


def _points(share: float) -> str:
    """Return a share as points: 0.005 is 0.5 points."""
    number = f"{100 * share:.2g}"
    return f"{number} point{'' if number == '1' else 's'}"
