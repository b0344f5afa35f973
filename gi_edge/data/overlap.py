"""What the parts of a split hold, and what they have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from gi_edge.config import Value
from gi_edge.data.audit_rows import AuditRow

NEAR_SHARE_LIMIT = 0.01
"""From this share of a part's frames on, near-copies of another part count as a leak: they alone could then raise
an accuracy by a point. Fewer are found between videos by chance, such as black frames."""


class ClassSupport(Value):
    """Frames of one class in one part."""

    label: str
    frames: int
    groups: int | None
    """Videos or patients that the frames come from; None where no group is known."""


class PartSupport(Value):
    """What one part holds."""

    part: str
    frames: int
    ungrouped: int
    """Frames whose group is not known."""
    groups: int | None
    """None where no group is known."""
    repeated: int
    """Rows that list a file a second time with the same label."""
    classes: tuple[ClassSupport, ...]
    """Every class of the split, by name."""


class NearPair(Value):
    """Two frames that look alike."""

    first: str
    second: str
    """Frame ids."""
    distance: float
    """As the finder measures it, such as the bits in which two perceptual hashes differ."""


class PlacedPair(Value):
    """Two frames that look alike and lie in two parts, the one of the earlier part first."""

    first: str
    first_part: str
    second: str
    second_part: str
    distance: float


class PartPair(Value):
    """What two parts have in common."""

    first: str
    second: str
    groups: tuple[str, ...] | None
    """Groups with frames in both parts; None where a part has no known group."""
    frames: int
    """Frames of the second part in those groups."""
    share: float
    """The same over all frames of the second part."""
    files: tuple[str, ...]
    """Files that both parts list."""
    near_pairs: int | None
    """Pairs that look alike, one frame in each part; None: not searched."""
    near_frames: int | None
    """Frames of the second part that look like one of the first."""
    near_share: float | None
    """The same over all frames of the second part."""

    @property
    def is_leaking(self) -> bool:
        """Whether frames of the second part, or near-copies of them, could be known from the first."""
        return bool(self.groups or self.files) or (self.near_share or 0.0) >= NEAR_SHARE_LIMIT


class LabelConflict(Value):
    """One file under more than one label."""

    file: str
    labels: dict[str, tuple[str, ...]]
    """Labels by part."""

    @property
    def is_within(self) -> bool:
        """Whether one part alone lists the file under two labels."""
        return any(len(labels) > 1 for labels in self.labels.values())

    @property
    def is_across(self) -> bool:
        """Whether two parts list the file under different labels."""
        return len(set(self.labels.values())) > 1


def support_from_rows(part: str, rows: Sequence[AuditRow], classes: Sequence[str]) -> PartSupport:
    """Count the frames and groups of a part, by class of the whole split."""
    frames = Counter(row.label for row in rows)
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.group is not None:
            groups[row.label].add(row.group)
    known = set[str]().union(*groups.values())
    return PartSupport(
        part=part,
        frames=len(rows),
        ungrouped=sum(row.group is None for row in rows),
        groups=len(known) if known else None,
        repeated=len(rows) - len({(row.key, row.label) for row in rows}),
        classes=tuple(
            ClassSupport(label=label, frames=frames[label], groups=len(groups[label]) if known else None)
            for label in classes
        ),
    )


def pairs_from_parts(
    parts: Mapping[str, Sequence[AuditRow]], near: Sequence[PlacedPair] | None
) -> tuple[PartPair, ...]:
    """Compare every part with each one after it. near: as near_across_parts gives it, or None if not sought."""
    names = list(parts)
    groups = {name: {row.group for row in rows if row.group is not None} for name, rows in parts.items()}
    files = {name: {row.key for row in rows} for name, rows in parts.items()}
    found = None if near is None else _near_by_parts(near)
    pairs = []
    for place, second in enumerate(names):
        for first in names[:place]:
            shared = groups[first] & groups[second]
            rows = parts[second]
            frames = sum(row.group in shared for row in rows)
            count, looking = (None, None) if found is None else found.get((first, second), (0, set[str]()))
            near_frames = None if looking is None else sum(row.frame in looking for row in rows)
            pairs.append(
                PartPair(
                    first=first,
                    second=second,
                    groups=tuple(sorted(shared)) if groups[first] and groups[second] else None,
                    frames=frames,
                    share=frames / len(rows),
                    files=tuple(sorted(files[first] & files[second])),
                    near_pairs=count,
                    near_frames=near_frames,
                    near_share=None if near_frames is None else near_frames / len(rows),
                )
            )
    return tuple(pairs)


def near_across_parts(parts: Mapping[str, Sequence[AuditRow]], near: Iterable[NearPair]) -> list[PlacedPair]:
    """Return the pairs whose frames lie in two parts, the frame of the earlier part first, nearest first.

    A pair with a frame that no part lists is left out; one whose frame lies in several parts comes more than once.
    """
    places: dict[str, set[int]] = defaultdict(set)
    names = list(parts)
    for place, name in enumerate(names):
        for row in parts[name]:
            places[row.frame].add(place)
    found = []
    for pair in near:
        for one in places.get(pair.first, ()):
            for other in places.get(pair.second, ()):
                if one != other:
                    ends = sorted(((one, pair.first), (other, pair.second)))
                    found.append(_placed(ends, names, pair.distance))
    return sorted(found, key=lambda pair: (pair.distance, pair.first, pair.second, pair.first_part, pair.second_part))


def disjoint_pairs(pairs: Iterable[PlacedPair], limit: int) -> tuple[PlacedPair, ...]:
    """Return the first pairs that have no frame in common, so that one long scene does not stand for all."""
    kept: list[PlacedPair] = []
    seen: set[str] = set()
    for pair in pairs:
        if len(kept) == limit:
            break
        if not seen & {pair.first, pair.second}:
            kept.append(pair)
            seen |= {pair.first, pair.second}
    return tuple(kept)


def conflicts_from_parts(parts: Mapping[str, Sequence[AuditRow]]) -> tuple[LabelConflict, ...]:
    """Return the files that are under more than one label, by name."""
    labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, rows in parts.items():
        for row in rows:
            labels[row.key][name].add(row.label)
    return tuple(
        LabelConflict(file=file, labels={part: tuple(sorted(found)) for part, found in by_part.items()})
        for file, by_part in sorted(labels.items())
        if len(set[str]().union(*by_part.values())) > 1
    )


def _placed(ends: Sequence[tuple[int, str]], names: Sequence[str], distance: float) -> PlacedPair:
    (one, first), (other, second) = ends
    return PlacedPair(first=first, first_part=names[one], second=second, second_part=names[other], distance=distance)


def _near_by_parts(near: Iterable[PlacedPair]) -> dict[tuple[str, str], tuple[int, set[str]]]:
    """Return, per pair of parts, the number of near pairs and the frames of the later part."""
    counts: Counter[tuple[str, str]] = Counter()
    frames: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pair in near:
        key = (pair.first_part, pair.second_part)
        counts[key] += 1
        frames[key].add(pair.second)
    return {key: (count, frames[key]) for key, count in counts.items()}
