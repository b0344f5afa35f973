"""A verdict on a model file, and the checks it rests on: values only, which every bundle carries.

gate.py draws verdicts; whoever only reads them, such as a device that predicts, needs none of its statistics.
"""

from __future__ import annotations

from typing import Literal

from gi_edge.config import Value
from gi_edge.metrics.parity import Parity, Precision

Outcome = Literal["pass", "fail", "undecided", "told"]
Status = Literal["pass", "fail", "undecided"]


class Check(Value):
    """One thing that was measured and, unless its outcome is "told", judged."""

    name: str
    """nonfinite_frames, max_abs_error, max_probability_error, flip_rate, macro_f1, mcc, sensitivity, ece or brier."""
    label: str | None = None
    """The class, for sensitivity."""
    n: int
    """Frames that it rests on."""
    value: float | None
    """What was found; for a score, candidate minus reference."""
    low: float | None = None
    """95 % interval of a score's difference, paired bootstrap by group where groups are known, else by frame."""
    high: float | None = None
    bound: float | None = None
    """Upper 95 % bound of the loss (of the rise, for ece and brier; of the rate, for flip_rate)."""
    limit: float | None = None
    """Largest loss, rise, rate or error that passes."""
    outcome: Outcome
    needed: bool
    """Whether the verdict cannot be pass while this is undecided."""
    frames_needed: int | None = None
    """Frames of this kind with which no change at all would pass; None where frames are not the matter."""
    reason: str = ""
    """Why it did not pass, in one clause."""


class Verdict(Value):
    """Whether a model file is fit for use in place of the trained model, by which checks, and on whose word."""

    precision: Precision
    status: Status
    reasons: tuple[str, ...]
    """Why it failed or could not be decided, in the order of the checks; empty on a pass."""
    file_sha256: str
    """Of the model file that it is about; another build is another file and needs a verdict of its own."""
    computed_by: str
    """What computed the answers, such as "PyTorch on cpu, computing in half precision"."""
    computes_precision: bool
    """Whether that place computes in the precision; ONNX Runtime's CPU provider widens fp16 to fp32."""
    parity: Parity
    checks: tuple[Check, ...]


def drawn_from(checks: tuple[Check, ...]) -> tuple[Status, tuple[str, ...]]:
    """Return the status that checks give, and why: fail if one failed, undecided if a needed one is, else pass."""
    failed = [check for check in checks if check.outcome == "fail"]
    open_ones = [check for check in checks if check.outcome == "undecided" and check.needed]
    status: Status = "fail" if failed else "undecided" if open_ones else "pass"
    return status, tuple(check.reason for check in failed or open_ones)
