"""Short forms of audited rows."""

from __future__ import annotations

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import AuditRow
from gi_edge.data.overlap import NearPair


def rows(part, *cells):
    """Rows from "label video number"; "label name" has no video."""
    found = []
    for cell in cells:
        label, *place = cell.split()
        if len(place) == 1:
            found.append(AuditRow(place[0], label, None, None, part))
        else:
            found.append(AuditRow(f"{place[0]}_{place[1]}.jpg", label, place[0], int(place[1]), part))
    return found


def audit(train, test, **options):
    return audit_rows(rows("train", *train) + rows("test", *test), train="train", test="test", **options)


def near(first, second, distance=1.0):
    return NearPair(first=first, second=second, distance=distance)
