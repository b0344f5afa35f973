"""What rules score that see no pixel: the floor under every score on a split."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from gi_edge.config import Value
from gi_edge.data.audit_rows import AuditRow


class MajorityBaseline(Value):
    """Scores on the test part of always answering the most frequent class of the training part."""

    label: str
    n: int
    """Test frames."""
    accuracy: float
    macro_f1: float
    """Mean over the classes that occur in the test part, each counted alike."""


class PixelFreeBaseline(Value):
    """Scores on the test part of copying the label of the nearest-numbered training frame of the same video."""

    n: int
    """Test frames."""
    applied: int
    """Test frames whose video has training frames; the others were answered with the majority class."""
    accuracy: float
    macro_f1: float
    """Mean over the classes that occur in the test part, each counted alike."""


def majority_baseline(train: Sequence[AuditRow], test: Sequence[AuditRow]) -> MajorityBaseline:
    """Score the majority rule; of equally frequent classes the first by name answers. No part may be empty."""
    label = majority_label(train)
    accuracy, macro_f1 = _scores(test, [label] * len(test))
    return MajorityBaseline(label=label, n=len(test), accuracy=accuracy, macro_f1=macro_f1)


def pixel_free_baseline(train: Sequence[AuditRow], test: Sequence[AuditRow]) -> PixelFreeBaseline | None:
    """Score the pixel-free rule; None where no name of a part holds video and number."""
    if not any(map(_is_placed, train)) or not any(map(_is_placed, test)):
        return None
    near = nearest_frame_labels(train, test)
    fallback = majority_label(train)
    accuracy, macro_f1 = _scores(test, [fallback if label is None else label for label in near])
    applied = sum(label is not None for label in near)
    return PixelFreeBaseline(n=len(test), applied=applied, accuracy=accuracy, macro_f1=macro_f1)


def majority_label(rows: Sequence[AuditRow]) -> str:
    """Return the most frequent label, the first by name among equals."""
    counts = Counter(row.label for row in rows)
    return min(counts, key=lambda label: (-counts[label], label))


def nearest_frame_labels(train: Sequence[AuditRow], test: Sequence[AuditRow]) -> list[str | None]:
    """Return, per test row, the label of the training frame of its video whose number is nearest.

    Of two equally near the earlier one answers, of two labels of one frame the first by name. None: the video has
    no training frame, or video and number are not known.
    """
    videos: dict[str, dict[int, str]] = defaultdict(dict)
    for row in sorted(filter(_is_placed, train), key=lambda row: row.label, reverse=True):
        videos[str(row.group)][row.number or 0] = row.label
    numbers = {video: sorted(labels) for video, labels in videos.items()}
    answers: list[str | None] = []
    for row in test:
        known = numbers.get(row.group or "")
        if row.number is None or known is None:
            answers.append(None)
            continue
        place = bisect_left(known, row.number)
        beside = known[max(place - 1, 0) : place + 1]
        nearest = min(beside, key=lambda number: abs(number - (row.number or 0)))
        answers.append(videos[row.group or ""][nearest])
    return answers


def _is_placed(row: AuditRow) -> bool:
    return row.group is not None and row.number is not None


def _scores(test: Sequence[AuditRow], answers: Sequence[str]) -> tuple[float, float]:
    """Return accuracy and macro-F1 over the classes of the test part."""
    truth = [row.label for row in test]
    _, codes = np.unique([*truth, *answers], return_inverse=True)
    true, given = codes[: len(truth)], codes[len(truth) :]
    macro = f1_score(true, given, labels=np.unique(true), average="macro", zero_division=0.0)
    return float(np.mean(true == given)), float(macro)
