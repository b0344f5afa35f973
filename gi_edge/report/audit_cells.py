"""What a split audit says, as cells and sentences: shared by the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gi_edge.data.audit import SplitAudit
from gi_edge.data.overlap import NEAR_SHARE_LIMIT, LabelConflict, PartPair, PartSupport
from gi_edge.report.formats import NOT_MEASURED, text_from_count, text_from_list, text_from_rate, text_from_score
from gi_edge.report.notes import FEW_FRAMES


@dataclass(frozen=True)
class BaselineRow:
    """One rule that sees no pixel, and what it scores on the test part."""

    name: str
    rule: str
    accuracy: str
    macro_f1: str
    applied: str
    """Test frames that the rule itself answered."""


@dataclass(frozen=True)
class PairRow:
    """What two parts have in common."""

    parts: str
    groups: str
    frames: str
    files: str
    near_pairs: str
    near_frames: str
    is_leak: bool
    """Whether it touches the test part."""


@dataclass(frozen=True)
class SupportRow:
    """One class: frames and groups by part, in the order of the parts."""

    label: str
    cells: tuple[tuple[str, str], ...]


def outcome_from_audit(audit: SplitAudit) -> Literal["pass", "fail", "unmeasured"]:
    """Return fail for a leak, unmeasured where groups are not known of every frame, else pass."""
    if audit.leaks:
        return "fail"
    return "unmeasured" if any(part.ungrouped for part in audit.parts) else "pass"


def parts_sentence(audit: SplitAudit) -> str:
    """Name the parts with their frames and groups."""
    return f"Parts: {'; '.join(_part_words(part, audit.group_noun) for part in audit.parts)}."


def baseline_rows(audit: SplitAudit) -> tuple[BaselineRow, ...]:
    """Return the rules, the majority first."""
    majority, pixel_free = audit.majority, audit.pixel_free
    rows = [
        BaselineRow(
            "Majority",
            f"always answers “{majority.label}”, the most frequent class of part “{audit.train}”",
            text_from_baseline(majority.accuracy),
            text_from_baseline(majority.macro_f1),
            _of(majority.n, majority.n),
        )
    ]
    if pixel_free is not None:
        rule = f"copies the label of the nearest-numbered frame of the same {audit.group_noun} in part “{audit.train}”"
        rows.append(
            BaselineRow(
                "Pixel-free",
                f"{rule}; the majority class where there is none",
                text_from_baseline(pixel_free.accuracy),
                text_from_baseline(pixel_free.macro_f1),
                _of(pixel_free.applied, pixel_free.n),
            )
        )
    return tuple(rows)


def text_from_baseline(score: float) -> str:
    """Return a score in 0..1 with three decimals; what is not all never reads 1.000."""
    return text_from_score(score if score == 1.0 else min(score, 0.999))


def pair_rows(audit: SplitAudit) -> tuple[PairRow, ...]:
    """Return every two parts, those with the test part first."""
    ordered = sorted(audit.pairs, key=lambda pair: pair.second != audit.test)
    return tuple(_pair_row(pair, audit.test) for pair in ordered)


def support_rows(audit: SplitAudit) -> tuple[SupportRow, ...]:
    """Return the classes with frames and groups in each part."""
    return tuple(
        SupportRow(own[0].label, tuple((text_from_count(item.frames), _count(item.groups)) for item in own))
        for own in zip(*(support.classes for support in audit.parts), strict=True)
    )


def conflict_words(conflict: LabelConflict) -> str:
    """Say which labels a file has in which part."""
    return "; ".join(f"{part}: {text_from_list(labels)}" for part, labels in conflict.labels.items())


def notes_from_audit(audit: SplitAudit) -> tuple[str, ...]:
    """Return what a reader of the findings must know besides, in whole sentences."""
    notes = [_conflict_note(audit), *map(_repeat_note, audit.parts)]
    for pair in audit.pairs:
        if pair.is_leaking and pair.second != audit.test:
            notes.append(
                f"Parts “{pair.first}” and “{pair.second}” share frames, {audit.group_noun}s or near-copies: a model "
                f"selected on “{pair.second}” is selected on what it knows by heart."
            )
    if audit.near_duplicates is None:
        notes.append(
            "Near-duplicates were not sought: that takes the images, and this audit saw names and labels only."
        )
    elif audit.near_duplicates:
        notes.append(
            f"Near-duplicates count as a leak from {text_from_rate(NEAR_SHARE_LIMIT)} of the test part on; fewer occur "
            "between unrelated recordings, such as black frames."
        )
    return tuple(filter(None, notes))


def absent_note(audit: SplitAudit) -> str | None:
    """Say why there is no pixel-free baseline, or None if there is one."""
    return f"There is no pixel-free baseline: {audit.pixel_free_absent}." if audit.pixel_free_absent else None


def few_frames_note(audit: SplitAudit) -> str | None:
    """Name the classes of the test part whose score hangs on single frames, or None if there is none."""
    few = tuple(item.label for item in audit.parts[-1].classes if item.frames < FEW_FRAMES)
    if not few:
        return None
    return (
        f"Under {FEW_FRAMES} frames in part “{audit.test}”: {text_from_list(few)}. One frame moves such a class's "
        "sensitivity by more than 5 points."
    )


def _conflict_note(audit: SplitAudit) -> str | None:
    if not audit.conflicts:
        return None
    within = sum(conflict.is_within for conflict in audit.conflicts)
    across = sum(conflict.is_across for conflict in audit.conflicts)
    return (
        f"Files under two labels: {text_from_count(len(audit.conflicts))} ({text_from_count(within)} within one part, "
        f"{text_from_count(across)} between parts). At most one of the labels is the truth of a single-label task."
    )


def _repeat_note(part: PartSupport) -> str | None:
    if not part.repeated:
        return None
    return f"Part “{part.part}” lists a file again with the same label in {text_from_count(part.repeated)} of its rows."


def _pair_row(pair: PartPair, test: str) -> PairRow:
    return PairRow(
        parts=f"{pair.first} → {pair.second}",
        groups=_count(None if pair.groups is None else len(pair.groups)),
        frames=NOT_MEASURED if pair.groups is None else _shared(pair.frames, pair.share),
        files=text_from_count(len(pair.files)),
        near_pairs=_count(pair.near_pairs),
        near_frames=_shared(pair.near_frames, pair.near_share),
        is_leak=pair.is_leaking and pair.second == test,
    )


def _part_words(part: PartSupport, noun: str) -> str:
    frames = f"{part.part} {_counted(part.frames, 'frame')}"
    return frames if part.groups is None else f"{frames} of {_counted(part.groups, noun)}"


def _shared(count: int | None, share: float | None) -> str:
    return NOT_MEASURED if count is None or share is None else f"{text_from_count(count)} ({text_from_rate(share)})"


def _counted(count: int, noun: str) -> str:
    return f"{text_from_count(count)} {noun}{'' if count == 1 else 's'}"


def _count(count: int | None) -> str:
    return NOT_MEASURED if count is None else text_from_count(count)


def _of(count: int, total: int) -> str:
    return f"{text_from_count(count)} of {text_from_count(total)}"
