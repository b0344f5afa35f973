"""The gate: is a model file fit for use in place of the trained model? Pass, fail, or too little data to decide.

What is judged, on held-out frames that both models answered:

1. Numbers. Logits, probabilities and the share of changed frames stay within what the precision explains (LIMITS). fp32
   ends here: with logits equal to 1e-4 only frames nearer to a tie than 2e-4 can change.
2. Diagnoses, for the other precisions. The loss of macro-F1, and of the sensitivity of each class, must lie below a
   margin at its upper 95 % bound: that of noninferiority.py or of the paired bootstrap by group, whichever is wider. A
   class with so few frames that no bound could reach the margin is told, not judged, unless it was seen to lose more
   than the margin: then the answer cannot be yes.
3. Calibration: ECE and Brier score may not rise by more than a margin; only a proven rise counts.

It passes if every needed check passes; each errs in at most 5 % of the cases, and so do all together (Berger 1982,
intersection-union). It fails if a check fails: its loss is beyond the margin at a lower bound of confidence 1 − 0.05/m
for m checks (Bonferroni), so that a sound engine fails in at most 5 %. Else the data cannot decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gi_edge.metrics.agreement import parity_from_logits
from gi_edge.metrics.checks import check_groups, check_labels, check_lengths
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.losses import Margins, calibration_checks, loss_checks
from gi_edge.metrics.parity import LIMITS, Parity, Precision
from gi_edge.metrics.verdict import Check, Verdict, drawn_from


class Origin(NamedTuple):
    """Whose answers are judged, and where they were computed; see the fields of Verdict."""

    file_sha256: str
    computed_by: str
    computes_precision: bool


@dataclass(frozen=True)
class Answers:
    """What both models answered on the same held-out frames."""

    truth: NDArray[np.int64]
    """[n] true class indices."""
    reference: NDArray[np.float32]
    """[n, classes] logits of the trained model, fp32."""
    candidate: NDArray[np.float32]
    """[n, classes] logits of the model file."""
    classes: tuple[str, ...]
    groups: Sequence[str] | None
    """[n] video, patient or cluster of each frame; None where one is not known."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax, for calibration."""


def verdict_from_answers(
    precision: Precision, answers: Answers, origin: Origin, margins: Margins | None = None
) -> Verdict:
    """Judge a model file by its answers. Raises: DataError for labels or groups that do not fit the logits."""
    n = len(answers.reference)
    check_labels(answers.truth, len(answers.classes), "truth")
    check_lengths(n, truth=answers.truth)
    check_groups(answers.groups, n)
    parity = parity_from_logits(answers.reference, answers.candidate, answers.temperature)
    checks = list(limit_checks(precision, parity))
    if not parity.nonfinite_frames:
        judged = (margins or Margins()) if LIMITS[precision].by_margins else None
        both = answers.reference, answers.candidate
        checks += loss_checks(answers.truth, both, answers.classes, answers.groups, judged)
        cooled = both[0] / np.float32(answers.temperature), both[1] / np.float32(answers.temperature)
        checks += calibration_checks(answers.truth, cooled, answers.groups, judged)
    return verdict_from_checks(precision, parity, tuple(checks), origin)


def verdict_from_checks(precision: Precision, parity: Parity, checks: tuple[Check, ...], origin: Origin) -> Verdict:
    """Draw the verdict from its checks."""
    status, reasons = drawn_from(checks)
    return Verdict(
        precision=precision,
        status=status,
        reasons=reasons,
        file_sha256=origin.file_sha256,
        computed_by=origin.computed_by,
        computes_precision=origin.computes_precision,
        parity=parity,
        checks=checks,
    )
