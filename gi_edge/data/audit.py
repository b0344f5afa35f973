"""The leakage audit: what a score on a split can and cannot show, from names and labels alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from gi_edge.config import Value
from gi_edge.data.audit_rows import AuditRow
from gi_edge.data.baseline import MajorityBaseline, PixelFreeBaseline, majority_baseline, pixel_free_baseline
from gi_edge.data.overlap import (
    LabelConflict,
    NearPair,
    PartPair,
    PartSupport,
    PlacedPair,
    conflicts_from_parts,
    disjoint_pairs,
    near_across_parts,
    pairs_from_parts,
    support_from_rows,
)
from gi_edge.data.split import CLUSTER_NOUN
from gi_edge.errors import DataError

KEPT_PAIRS = 100
"""Near-duplicate pairs that an audit names; it counts all."""
PIXEL_FREE_MARGIN = 0.05
"""From this lead over the majority baseline on, in accuracy or macro-F1, the pixel-free baseline is the verdict."""
FEW_GROUPS = 2
"""With fewer groups of a class in the test part, its score is one patient's."""
_NAMED_CLASSES = 3


class SplitAudit(Value):
    """What the parts of a split share, what their labels alone are worth, and what that means."""

    schema_version: Literal[1] = 1
    kind: Literal["split-audit"] = "split-audit"
    train: str
    test: str
    """Names of the parts that a model is fitted and scored on."""
    group_noun: str
    """What a group is: video, patient."""
    leaks: bool
    """Whether the test part shares groups, files or many near-copies with another part."""
    verdict: str
    """One sentence: what a score on this split can and cannot show, and whether other parts than test share."""
    parts: tuple[PartSupport, ...]
    """The training part first, the test part last."""
    pairs: tuple[PartPair, ...]
    """Every two parts, in that order."""
    conflicts: tuple[LabelConflict, ...]
    majority: MajorityBaseline
    pixel_free: PixelFreeBaseline | None
    pixel_free_absent: str | None
    """Why there is no pixel-free baseline."""
    near_duplicates: tuple[PlacedPair, ...] | None
    """The nearest pairs across parts, no frame twice, at most KEPT_PAIRS; None: not searched."""

    @property
    def test_pairs(self) -> tuple[PartPair, ...]:
        """What the test part has in common with each other part, the training part first."""
        return tuple(pair for pair in self.pairs if pair.second == self.test)


def audit_rows(
    rows: Sequence[AuditRow],
    *,
    train: str,
    test: str,
    near_duplicates: Sequence[NearPair] | None = None,
    group_noun: str = "group",
) -> SplitAudit:
    """Audit a split. near_duplicates: pairs of frame ids that look alike, wherever they lie; None if not searched.

    Raises: DataError if train and test are one part or one of them is empty.
    """
    parts = _parts_from_rows(rows, train, test)
    classes = sorted({row.label for row in rows})
    supports = tuple(support_from_rows(part, members, classes) for part, members in parts.items())
    near = None if near_duplicates is None else near_across_parts(parts, near_duplicates)
    pairs = pairs_from_parts(parts, near)
    majority = majority_baseline(parts[train], parts[test])
    pixel_free = pixel_free_baseline(parts[train], parts[test])
    own = tuple(pair for pair in pairs if pair.second == test)
    return SplitAudit(
        train=train,
        test=test,
        group_noun=group_noun,
        leaks=any(pair.is_leaking for pair in own),
        verdict=_verdict(pairs, supports, majority, pixel_free, group_noun),
        parts=supports,
        pairs=pairs,
        conflicts=conflicts_from_parts(parts),
        majority=majority,
        pixel_free=pixel_free,
        pixel_free_absent=None if pixel_free else f"no {_other(group_noun)} and frame number is known in both parts",
        near_duplicates=None if near is None else disjoint_pairs(near, KEPT_PAIRS),
    )


def _parts_from_rows(rows: Sequence[AuditRow], train: str, test: str) -> dict[str, list[AuditRow]]:
    """Return the rows by part: train, the others by name, test."""
    members: dict[str, list[AuditRow]] = defaultdict(list)
    for row in rows:
        members[row.part].append(row)
    if train == test:
        raise DataError(f"'{train}' is both the training and the test part", fix="name two different parts")
    for part in (train, test):
        if part not in members:
            raise DataError(
                f"the split has no frame in a part '{part}'; its parts: {', '.join(sorted(members)) or 'none'}",
                fix="name a part of the split, or add frames to it",
            )
    between = sorted(set(members) - {train, test})
    return {part: members[part] for part in (train, *between, test)}


def _verdict(
    pairs: Sequence[PartPair],
    supports: Sequence[PartSupport],
    majority: MajorityBaseline,
    pixel_free: PixelFreeBaseline | None,
    noun: str,
) -> str:
    held = supports[-1].part
    leaking = next((pair for pair in pairs if pair.is_leaking and pair.second == held), None)
    if leaking is None:
        return _clean_verdict(pairs, supports, noun)
    if pixel_free is not None and _is_ahead(pixel_free, majority):
        return (
            f"A rule that looks at no pixels scores {_pixel_free_words(pixel_free, majority)}: a score on this split "
            "does not show that a model recognises anything in a new patient."
        )
    return (
        f"P{_leak_words(leaking, noun)[1:]}: a score on this split can be higher than on a new "
        f"{noun if leaking.groups else 'patient'}, and does not show by how much."
    )


def _is_ahead(pixel_free: PixelFreeBaseline, majority: MajorityBaseline) -> bool:
    lead = max(pixel_free.accuracy - majority.accuracy, pixel_free.macro_f1 - majority.macro_f1)
    return lead >= PIXEL_FREE_MARGIN


def _pixel_free_words(pixel_free: PixelFreeBaseline, majority: MajorityBaseline) -> str:
    """Give both baselines in accuracy, or in macro-F1 where a frequent class hides the lead."""
    rule = f"here, and always answering '{majority.label}'"
    if pixel_free.accuracy - majority.accuracy >= PIXEL_FREE_MARGIN:
        return f"{_percent(pixel_free.accuracy)} accuracy {rule} {_percent(majority.accuracy)}"
    return f"{_percent(pixel_free.macro_f1)} macro-F1 {rule} {_percent(majority.macro_f1)}"


def _leak_words(pair: PartPair, noun: str) -> str:
    """Name the gravest thing two parts have in common."""
    if pair.groups:
        return (
            f"part '{pair.second}' has {_counted(pair.frames, 'frame')} ({_percent(pair.share)}) from "
            f"{_counted(len(pair.groups), noun)} that part '{pair.first}' holds too"
        )
    if pair.files:
        return f"part '{pair.second}' has {_counted(len(pair.files), 'file')} in common with part '{pair.first}'"
    return (
        f"part '{pair.second}' has {_counted(pair.near_frames or 0, 'frame')} ({_percent(pair.near_share or 0.0)}) "
        f"with a near-copy in part '{pair.first}'"
    )


def _clean_verdict(pairs: Sequence[PartPair], supports: Sequence[PartSupport], noun: str) -> str:
    """Say what a test part without a leak shows; pairs are of all parts, and the others may still share."""
    held = supports[-1]
    shared = next((pair for pair in pairs if pair.is_leaking), None)
    where = f"of part '{held.part}' is in another part" if shared else "is in two parts"
    return f"{_clean_words(where, pairs, supports, noun)}{_choice_words(shared, noun) if shared else ''}."


def _clean_words(where: str, pairs: Sequence[PartPair], supports: Sequence[PartSupport], noun: str) -> str:
    held = supports[-1]
    one_patient = "one patient's frames can be on both sides, so a score on this split does not show that a model works"
    if held.groups is None or any(support.ungrouped for support in supports):
        sought = pairs[0].near_pairs is not None
        return (
            f"No file {where}{' and near-copies are rare' if sought else ''}, but the {_other(noun)} of "
            f"{_ungrouped(supports)} is not known{'' if sought else ' and near-copies were not sought'}: "
            f"{one_patient} on a new patient"
        )
    if noun == CLUSTER_NOUN:
        return f"No {noun} {where}, but no video or patient is known: {one_patient} on a new patient"
    thin = [item.label for item in held.classes if (item.groups or 0) < FEW_GROUPS]
    limit = f"classes that fewer than {FEW_GROUPS} of them show ({_some(thin)})" if thin else "another clinic or device"
    return (
        f"No {noun} {where}: a score on this split shows how a model does on {_counted(held.groups, noun)} "
        f"that training never saw; it cannot speak of {limit}"
    )


def _choice_words(pair: PartPair, noun: str) -> str:
    """Say what two parts share that are both not the test part, as the end of a sentence."""
    return (
        f"; and {_leak_words(pair, noun)}, so a choice made on part '{pair.second}' need not hold for a new "
        f"{noun if pair.groups and noun != CLUSTER_NOUN else 'patient'}"
    )


def _ungrouped(supports: Sequence[PartSupport]) -> str:
    unknown, frames = sum(support.ungrouped for support in supports), sum(support.frames for support in supports)
    return "the frames" if unknown == frames else f"{unknown:,} of {frames:,} frames"


def _other(noun: str) -> str:
    return "video or patient" if noun in {"group", "frame"} else noun


def _some(labels: Sequence[str]) -> str:
    rest = len(labels) - _NAMED_CLASSES
    return f"{', '.join(labels[:_NAMED_CLASSES])} and {rest} more" if rest > 1 else ", ".join(labels)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """Return percent with one decimal, rounded down: what is not all never reads 100 %."""
    tenths = math.floor(1000 * share + 1e-9)
    return f"{tenths / 10:.1f} %" if tenths or not share else "under 0.1 %"
